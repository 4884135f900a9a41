"""Measurements on the real stack, run by `scripts/bench`.

May import gateway, local_stack, examples and personalization_gateway. Never part of the tests.
"""
