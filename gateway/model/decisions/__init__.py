"""Decisions: which banner a visitor sees, why, and under which id; previews, dry runs and the examples of campaigns.

May import rulesets, conditions, visitors, events, trends, times and tokens. Never where a context comes from or where a banner goes.
"""
