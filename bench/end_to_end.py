"""The load of `bench/freshness`: events at a steady rate, one open page for each visitor, all times taken in this process."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

import orjson

from bench.cpu_share import CpuMeter, CpuShare
from bench.freshness_record import FreshnessRecord
from bench.http_client import HttpClient
from bench.subscribers import OpenPage, OpenPages
from gateway.clock import system_now_ms
from gateway.graphql_http import operation
from gateway.model.times import format_time_ms
from local_stack.stack.info import StackInfo

_TRACK: Final = "mutation($events: [EventInput!]!) { track(events: $events) { results { status error { message } } cursor } }"
SETTLE_S: Final = 90.0
"""The first event of each visitor must be shown within this time: a stream that was restarted has a backlog to process."""
DRAIN_S: Final = 15.0
"""All events must be shown within this time after the last one was sent."""


class BenchFailed(Exception):
    """The system under test does not do what the measurement needs."""


@dataclass(frozen=True, slots=True)
class EventLoad:
    """What is sent: `rate` events per second over `visitors` pages, measured for `seconds` after `warmup_s`."""

    rate: float
    seconds: float
    warmup_s: float
    visitors: int
    websocket_every: int


@dataclass(slots=True)
class EndToEnd:
    """The measurements; durations are in milliseconds."""

    record: FreshnessRecord
    answered_ms: list[float] = field(default_factory=list)
    """From sending `track` to its answer, which means that Kafka has the event."""
    behind_ms: list[float] = field(default_factory=list)
    """How much later than planned each event was sent: a delay of the load generator, not part of the latencies."""
    failures: list[str] = field(default_factory=list)
    events: int = 0
    cpu: CpuShare | None = None
    """During the measured part."""


async def measure(info: StackInfo, load: EventLoad) -> EndToEnd:
    """Run the load against a stack's gateway. Raises `BenchFailed` if events are not shown at all."""
    result = EndToEnd(FreshnessRecord(secrets.token_hex(3)))
    http = HttpClient(info.gateway.url)
    pages = OpenPages(http, info.gateway.url, info.keys.publishable, result.record.frame)
    try:
        opened = await pages.open(load.visitors, load.websocket_every)
        sender = _EventSender(http, opened, result)
        await sender.settle()
        await sender.send_steadily(load.rate, load.warmup_s, measured=False)
        meter = CpuMeter(info.pids)
        await sender.send_steadily(load.rate, load.seconds, measured=True)
        result.cpu = meter.read()
        await sender.drained(DRAIN_S)
        result.failures += pages.problems
    finally:
        await pages.close()
        http.close()
    return result


class _EventSender:
    """Sends events and counts them."""

    def __init__(self, http: HttpClient, pages: list[OpenPage], result: EndToEnd) -> None:
        self._http = http
        self._pages = pages
        self._result = result
        self._record = result.record
        self._sends: set[asyncio.Task[None]] = set()
        self._number = 0

    async def settle(self) -> None:
        """Send one event for each visitor and wait until all are shown. Raises `BenchFailed`."""
        for _ in self._pages:
            self._send_next(measured=False)
        if not await self.drained(SETTLE_S):
            raise BenchFailed(f"{self._record.pending} of the first {len(self._pages)} events were not shown within {SETTLE_S:.0f} s")

    async def send_steadily(self, rate: float, seconds: float, *, measured: bool) -> None:
        """Send at the rate, without waiting for earlier events (open loop)."""
        started = time.monotonic()
        for index in range(round(seconds * rate)):
            planned = started + index / rate
            pause_s = planned - time.monotonic()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            if measured:
                self._result.behind_ms.append((time.monotonic() - planned) * 1000)
            self._send_next(measured=measured)

    async def drained(self, within_s: float) -> bool:
        """Wait until nothing is pending and every request is answered; returns whether that happened in time."""
        deadline = time.monotonic() + within_s
        while self._record.pending or self._sends:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def _send_next(self, *, measured: bool) -> None:
        number, self._number = self._number, self._number + 1
        page = self._pages[number % len(self._pages)]
        task = asyncio.create_task(self._send(page, number, measured=measured))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _send(self, page: OpenPage, number: int, *, measured: bool) -> None:
        body = self._body(number)
        at = time.monotonic()
        self._record.sent(page.visitor, number, at, measured=measured)
        self._result.events += measured
        try:
            answer = await self._http.post(body, page.token)
        except Exception as problem:  # noqa: BLE001 - the report shows it; the load goes on
            self._result.failures.append(f"{type(problem).__name__}: {problem}")
            return
        if measured:
            self._result.answered_ms.append((time.monotonic() - at) * 1000)
        if b'"ACCEPTED"' not in answer:
            self._result.failures.append(answer[:300].decode(errors="replace"))

    def _body(self, number: int) -> bytes:
        # Two topics in turn, for each visitor too; always the same product, so that the cart does not grow.
        added = (number + number // len(self._pages)) % 2
        event = {
            "messageId": f"{self._record.run}-{number}",
            "type": "PRODUCT_ADDED" if added else "PRODUCT_VIEWED",
            "timestamp": format_time_ms(system_now_ms()),
            "sequence": number,
            "sessionId": self._record.run,
            "product": {"productId": "bench-1", "category": self._record.category(number), "price": "19.90", "currency": "EUR"},
        }
        return orjson.dumps(operation(_TRACK, {"events": [event]}))
