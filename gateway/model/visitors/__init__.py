"""Visitors: the state as a set of contributions, the context as its view, and what consent, purges and erasures take away; exports,
evidence, rebuilding.

May import events, context_fields, times and tokens. Never Redis, never a campaign.
"""
