"""Recipes: the smallest pages with a banner, one for each framework of docs/integrate.md.

May import personalization_gateway. Never a helper that a reader would have to copy as well.
"""
