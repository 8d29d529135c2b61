"""Tables and objects outside the log: SQLite or PostgreSQL, local folder or cloud; the only home of SQL and blobs.

It must not know what the rows mean: rooms above hand over their tables and their keys.
"""
