"""From lag to replicas to nodes: decisions with the semantics of KEDA, HPA and the Cluster Autoscaler.

It must not know how replicas are started; it decides, others act.
"""
