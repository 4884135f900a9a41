"""Measurements on the real stack; never part of the tests."""
