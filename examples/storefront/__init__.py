"""The storefront: a small shop with server rendering, live banners and a panel that shows why.

May import personalization_gateway. Never a shortcut past the public API.
"""
