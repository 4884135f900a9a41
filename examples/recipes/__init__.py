"""Recipes: the smallest pages with a banner, one for each framework of docs/integrate.md.

May import gateway.client. Never a helper that a reader would have to copy as well.
"""
