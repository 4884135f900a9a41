"""The storefront: a small shop with server rendering, live banners and a panel that shows why.

May import gateway.client. Never a shortcut past the public API.
"""
