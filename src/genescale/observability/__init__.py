"""Logs, metrics and traces, and the small door every role has for them (/health, /ready, /metrics).

It must not know any room above it, and it never shows a sensitive value: only its length and digest.
"""
