"""Models over the Open Inference Protocol V2, registry access, canaries, batching.

It must not know how a model was trained.
"""
