"""The healing door: REST API, Alertmanager intake, approvals.

It must not decide: the room healing does.
"""
