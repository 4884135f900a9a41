"""Trends: counts by window, numbered snapshots, what is bought together, and their stored form.

May import times and tokens. Never a visitor id.
"""
