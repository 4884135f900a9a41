"""Events: their types, topics and fields, the checks that the gateway and the context writer share, and what an event contributes to a
visitor.

May import times and tokens. Never a whole visitor, never a campaign.
"""
