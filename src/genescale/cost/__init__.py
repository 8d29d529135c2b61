"""From usage to prices: rating, allocation, budgets, chargeback, exports.

It must not measure: workers and the cluster do, and say so in events.
"""
