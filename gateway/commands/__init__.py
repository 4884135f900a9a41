"""The commands of `gateway` that talk to a running system, one module each, imported when it is called.

May import api, transport, reports, kafka, store, settings, clock, graphql_http, model and errors. Never the wiring of a gateway
process, never a rule of its own.
"""
