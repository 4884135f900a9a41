"""Ports for the stacks of tests."""

from __future__ import annotations

import socket

STACK_PORTS = 5


def free_port_base(first: int = 26000) -> int:
    """The first of five free ports in a row, from `first` on, and a sixth that is the test's own, `base + STACK_PORTS`.

    Tests that run at one time look in different places.
    """
    for base in range(first, 32000, 10):
        if all(_is_free(port) for port in range(base, base + STACK_PORTS + 1)):
            return base
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
