"""The door for assistants.

It must not do what the other doors refuse: it calls them, with the caller's rights.
"""
