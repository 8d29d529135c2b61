"""Bench and verify: loads, faults, checkers, side-by-side runs, and the real Kafka they run against.

It must not be imported by anything but the command line: a product never depends on its own test.
"""
