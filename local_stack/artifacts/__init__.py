"""What is fetched or built before anything starts: jars, packages of npm, and what browsers load.

Each is checked against a lock file or its sources, and made once. Imports errors, console and project only. Nothing here starts a part.
"""
