"""WebSockets: the protocol graphql-transport-ws without I/O, and the session that carries it.

May import http, settings, connections, parameters, cache_control, cors, documents, gateway.transport.errors, gateway.background and
gateway.errors. Never an event stream.
"""
