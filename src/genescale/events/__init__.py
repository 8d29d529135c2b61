"""Events: the CloudEvents envelope, the catalogue of event types, the log port with its three adapters, the one loop.

It must not know what a variant, a price or a pod is: payloads are bytes with a schema. Which adapter is used is
decided in `wiring` alone.
"""
