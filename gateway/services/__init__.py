"""What the application does, a service per use: take events, decide banners, publish rulesets, explain, export, preview.

May import kafka, store, auth, background, clock, settings, telemetry, model and errors. Never GraphQL, never HTTP.
"""
