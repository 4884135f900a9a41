"""What is fetched or built before anything starts: jars, npm packages, and what browsers load. Each is checked against a lock file or its
sources, and made once.

May import errors, console and project. Never the start of a part.
"""
