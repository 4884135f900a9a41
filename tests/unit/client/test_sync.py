"""The client for code that does not await: the same calls, from many threads, across a fork."""

from __future__ import annotations

import asyncio
import inspect
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from personalization_gateway import GatewayClient, NoAnswer, SyncGatewayClient, event
from tests.support.client_gateways import BadServer, answer_to, bad_server, http

pytestmark = pytest.mark.usefixtures("http_library")

PLACEMENT = "homepage-hero"


async def good(server: BadServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request; `Track` never."""
    while True:
        body = await server.request(reader)
        if body["operationName"] == "Track":
            await asyncio.sleep(60)
        data = answer_to(body["operationName"])
        writer.write(http(json.dumps({"data": data}).encode()))
        await writer.drain()


@contextmanager
def serving() -> Iterator[BadServer]:
    """A server on an event loop of its own thread, as the caller waits."""
    ready, done = threading.Event(), asyncio.Event()
    found: list[tuple[BadServer, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with bad_server(good) as server:
            found.append((server, asyncio.get_running_loop()))
            ready.set()
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    server, loop = found[0]
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)


def client_of(server: BadServer, **options: float) -> SyncGatewayClient:
    return SyncGatewayClient(server.endpoint, publishable_key="pk_test", secret_key="sk_test", **{"deadline_s": 10.0, **options})


def test_it_has_every_call_of_the_asynchronous_one() -> None:
    """Names and arguments are the same; nothing was forgotten."""
    calls = {name for name, method in vars(GatewayClient).items() if inspect.iscoroutinefunction(method) and not name.startswith("_")}
    for name in calls - {"aclose"}:
        assert inspect.signature(getattr(SyncGatewayClient, name)) == inspect.signature(getattr(GatewayClient, name))
        assert getattr(SyncGatewayClient, name).__doc__ == getattr(GatewayClient, name).__doc__


def test_calls_wait_for_their_answer_and_errors_are_the_same() -> None:
    """A banner comes as a value, a failure for the caller as the same exception, a mistake at once."""
    with serving() as server, client_of(server, timeout_s=0.1) as client:
        decision = client.banner(PLACEMENT)
        assert decision is not None
        assert decision.placement == PLACEMENT
        with pytest.raises(NoAnswer):
            client.track([event("PAGE_VIEWED", userId="alice")])
        with pytest.raises(ValueError, match="visitor_token and user_id"):
            client.user_context()
    with pytest.raises(ValueError, match="endpoint"):
        SyncGatewayClient("nowhere")


def test_threads_share_the_pool_and_do_not_wait_for_each_other() -> None:
    """Two slow calls at once take the time of one."""
    with serving() as server, client_of(server, timeout_s=0.5) as client, ThreadPoolExecutor(8) as threads:

        def slow() -> float:
            with pytest.raises(NoAnswer):
                client.track([event("PAGE_VIEWED", userId="alice")])
            return time.monotonic()

        ended = [call.result() for call in [threads.submit(slow) for _ in range(8)]]
        assert max(ended) - min(ended) < 0.5
        assert all(list(threads.map(lambda _: client.banner(PLACEMENT), range(20))))


def test_it_can_be_closed_twice_and_used_again() -> None:
    """Closing ends the thread; a later call starts anew."""
    with serving() as server:
        client = client_of(server)
        assert client.banner(PLACEMENT) is not None
        client.close()
        client.close()
        assert "gateway-client" not in {thread.name for thread in threading.enumerate()}
        assert client.banner(PLACEMENT) is not None
        client.close()


def test_closing_ends_calls_that_other_threads_wait_for() -> None:
    """They are told so; none waits for ever."""
    with serving() as server, ThreadPoolExecutor(1) as threads:
        client = client_of(server, timeout_s=60)
        waiting = threads.submit(client.track, [event("PAGE_VIEWED", userId="alice")])
        deadline = time.monotonic() + 10
        while not any(request["operationName"] == "Track" for request in server.requests):
            assert time.monotonic() < deadline, "nothing was asked"
            time.sleep(0.01)
        client.close()
        with pytest.raises(NoAnswer, match="closed"):
            waiting.result(10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own() -> None:
    """A preforking server's children each get an answer, on other connections than the parent's."""
    with serving() as server, client_of(server) as client:
        assert client.banner(PLACEMENT) is not None
        fork = multiprocessing.get_context("fork")
        answers = fork.Queue()

        def child() -> None:
            answers.put(client.banner(PLACEMENT) is not None)

        children = [fork.Process(target=child) for _ in range(2)]
        for process in children:
            process.start()
        assert [answers.get(timeout=20) for _ in children] == [True, True]
        for process in children:
            process.join(20)
        assert client.banner(PLACEMENT) is not None
        assert [request["operationName"] for request in server.requests] == ["Banners"] * 4
