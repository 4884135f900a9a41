"""Server-sent events: a stream per operation, and graphql-sse's single connection mode.

May import http, settings, connections, parameters, cache_control, cors, documents, gateway.transport.errors, gateway.background and
gateway.errors. Never a WebSocket.
"""
