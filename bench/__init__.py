"""Measurements on the real stack, run by `scripts/bench`. May import gateway, local_stack and examples. Never part of the tests."""
