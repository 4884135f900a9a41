"""The data folder (`.local`): where things lie in it, its keys, and whether its data belongs together.

May import errors and project. Never the start of a part.
"""
