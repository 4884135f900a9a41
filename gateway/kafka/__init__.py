"""Kafka: publishing events, following topics, and the form of the records.

May import background, clock, settings, telemetry, model and errors. Never Redis or GraphQL, never a decision about what an event means.
"""
