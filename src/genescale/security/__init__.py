"""Identity, policy, keys and audit.

It must not know which door asks: it answers who somebody is, what they may do, and keeps the record.
"""
