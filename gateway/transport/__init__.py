"""The wire: GraphQL over HTTP, WebSocket and server-sent events for any schema; at its root the endpoint and what all three share.

May import transport, background and errors. Never this project's schema, a service, Kafka or Redis.
"""
