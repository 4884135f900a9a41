"""What all Spark programs share: the session, where it runs, and how a query is watched and stopped.

May import nothing of the project. Never a topic, a key or a column.
"""
