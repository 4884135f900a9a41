"""Programs that use the gateway as a shop would.

May import examples and personalization_gateway. Never another room of the gateway: what a shop cannot use, an example must not.
"""
