"""Idle connections: browsers and proxies keep them for a minute and more, so the gateway must too."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.stack_site import Site

pytestmark = pytest.mark.integration

REQUEST = b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n"
IDLE_SECONDS = 10.0


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Send a request on an open connection; the status line of its answer, empty when the connection was closed instead."""
    writer.write(REQUEST)
    await writer.drain()
    status = await reader.readline()
    length = 0
    while (line := await reader.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    await reader.readexactly(length)
    return status


@pytest.mark.long
async def test_a_connection_idle_for_ten_seconds_still_answers(site: Site) -> None:
    """Twice as long as servers often wait."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.stack.ports.gateway)
    assert await _status(reader, writer) == b"HTTP/1.1 200 OK\r\n"
    await asyncio.sleep(IDLE_SECONDS)
    assert await _status(reader, writer) == b"HTTP/1.1 200 OK\r\n"
    writer.close()
