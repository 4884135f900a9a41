"""From events to trends: windowed counts in Spark, kept in Redis, with a numbered snapshot every 30 seconds.

May import spark, gateway.store, gateway.settings, gateway.telemetry, gateway.clock, gateway.background and gateway.model. Never a
visitor id in what is stored.
"""
