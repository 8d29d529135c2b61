"""The commands that a person types.

It must not hold logic: it reads arguments, calls one function, prints the answer, and tells the truth in its exit
status.
"""
