"""What a client and the gateway say to each other: frames, close codes, session state machines, REST shapes.

It must not know sockets, storage or processes: bytes and states in, states and actions out.
"""
