"""Conditions: CEL expressions over context, page and trends, type-checked when they are loaded, and the tree of an expression.

May import trends, times and tokens. Never the present time: that belongs in schedules and caps.
"""
