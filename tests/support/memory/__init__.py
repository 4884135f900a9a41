"""In-memory parts that fail like the real ones. The contract suite (tests/contracts) holds them against the real parts.

May import gateway and tests.support. Never a real connection; no test of ours counts with these alone.
"""
