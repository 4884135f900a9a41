"""What several tests share: toy gateways, clients of the transports, strategies, and readers of the docs.

May import gateway, processors, local_stack, examples and bench. Never a test, never an assertion that hides which behaviour failed.
"""
