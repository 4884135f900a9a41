"""One running stack: its start and stop, its supervisor, what ends it if the supervisor is killed, and `stack.json`.

May import parts, artifacts, data, machine, api, console, errors and project. Never the terminal of the demo.
"""
