"""Statistics: the results of a campaign by hour, what they add up to, intervals and tests, each with the source of its formula.

May import decisions, rulesets, visitors, events, times and tokens. Never Spark or Redis.
"""
