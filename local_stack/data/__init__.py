"""The data folder (`.local`): where things lie in it, its keys, and whether its data belongs together.

Imports errors only. Starts nothing.
"""
