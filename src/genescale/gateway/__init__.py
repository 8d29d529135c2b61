"""The public door: WebSocket, REST, delivery, sessions, the built web pages.

It must not know how a variant is annotated or a price is made: it passes events on and brings answers back.
"""
