"""GraphQL documents: found by text or by hash, held to limits, validated, executed.

May import gateway.transport.errors and gateway.errors. Never a socket, a header or a status code of HTTP.
"""
