"""The Python client, async and sync, with resume.

It must not know the server's rooms: only the protocol.
"""
