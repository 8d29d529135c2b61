"""The only room that talks to a cluster: real processes on this machine, Kubernetes, Prometheus, a simulation.

It must not know what the processes do, nor why somebody wants more of them.
"""
