"""HTTP around GraphQL: heads and bodies, the checks of a request in their order, the page of GraphiQL.

May import settings, connections, parameters, cache_control, cors, documents, gateway.transport.errors and gateway.errors. Never a
stream.
"""
