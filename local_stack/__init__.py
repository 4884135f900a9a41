"""The local stack: the real parts on one machine, for the demo, the tests and the benchmarks. At its root stand the command line and what
all rooms share.

May import local_stack and gateway.graphql_http. Never imported by gateway or processors, never run in production.
"""
