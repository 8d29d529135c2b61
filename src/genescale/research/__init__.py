"""Training runs, cohorts, population statistics, data lake, exports.

It must not know the live path: it reads what is already final.
"""
