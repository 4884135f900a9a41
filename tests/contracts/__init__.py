"""Contracts: what each part of the store and of Kafka promises, as tests that run against memory and against the real part.

May import gateway, processors, local_stack and tests.support. Never a test that only one of the two sides can pass.
"""
