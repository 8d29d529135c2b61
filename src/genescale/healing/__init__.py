"""Incident, diagnosis, decision, guard, action, verification.

It must not act outside its guard, and it must not talk to a cluster except through its port.
"""
