"""Batch jobs over the log that end: campaign statistics, bought together, dry run, explain.

May import spark, gateway.kafka, gateway.store, gateway.reports, gateway.settings, gateway.telemetry, gateway.clock, gateway.background
and gateway.model. Never a stream.
"""
