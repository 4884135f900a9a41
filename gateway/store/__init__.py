"""Redis: a module per kind of record, each with its scripts; `keys` alone spells keys and channels.

May import background, clock, settings, telemetry, model and errors. Never Kafka or GraphQL, never a rule about visitors: those are
pure, in the model.
"""
