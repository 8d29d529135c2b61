"""Features, models and their cards, training and evaluation, drift, detectors, forecasters.

Pure: it must not know events, clusters, settings, the network or the time.
"""
