"""What `scripts/demo` shows a person, and what warms a stack up before that.

May import stack, parts, api, console, errors, project, gateway.graphql_http, gateway.store and gateway.model. Never the start or stop
of a part: it is a client of a running stack.
"""
