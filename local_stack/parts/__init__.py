"""The parts of the stack: one table of how each is run, and what Kafka and Valkey need beyond it.

May import artifacts, data, machine, errors, project, gateway.model and gateway.transport. Never the start or stop of a part: the stack
does that.
"""
