"""Rulesets: placements, campaigns, schedules, caps and templates as values, their versions and differences.

May import conditions, events, trends, times and tokens. Never YAML, never a visitor.
"""
