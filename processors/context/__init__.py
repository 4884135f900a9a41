"""From events to contexts: the context stream (Spark), the context writer (asyncio), and purges by the clock.

May import spark, trends, gateway.kafka, gateway.store, gateway.settings, gateway.telemetry, gateway.clock, gateway.background and
gateway.model. Never a rule about visitors: those are the model's.
"""
