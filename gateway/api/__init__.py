"""The GraphQL schema and nothing else: types, inputs, and resolvers of a few lines that call a service.

May import services, store, auth, clock, model and errors. Never a rule about banners or events, never HTTP or Kafka.
"""
