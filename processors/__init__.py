"""The processors: streams and batch jobs over the event log; at its root the command line.

May import processors. Never the API, services or transports of the gateway, the local stack or the examples.
"""
