"""The load of `bench/freshness`: events at a steady rate, one open page a visitor, everything timed in this process."""

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
from bench.subscribers import Page, Pages
from gateway.clock import system_now_ms
from gateway.model.times import format_time_ms
from local_stack.stack.info import StackInfo

_TRACK: Final = "mutation($events: [EventInput!]!) { track(events: $events) { results { status error { message } } cursor } }"
SETTLE_S: Final = 90.0
"""The first round of events must have been shown within: a stream that was restarted has a backlog to work off."""
DRAIN_S: Final = 15.0
"""What was sent must have been shown within, after the last one."""


class BenchFailed(Exception):
    """The system under test did not do what the measurement needs."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: `rate` events a second over `visitors` pages, measured for `seconds` after `warmup_s`."""

    rate: float
    seconds: float
    warmup_s: float
    visitors: int
    websocket_every: int


@dataclass(slots=True)
class EndToEnd:
    """What was measured; durations in milliseconds."""

    record: FreshnessRecord
    answered_ms: list[float] = field(default_factory=list)
    """From sending `track` to its answer, which says that Kafka has the event."""
    behind_ms: list[float] = field(default_factory=list)
    """How much later than planned each event was sent: the load generator's own fault, not part of the latencies."""
    failures: list[str] = field(default_factory=list)
    events: int = 0
    cpu: CpuShare | None = None
    """While events were measured."""


async def measure(info: StackInfo, load: Load) -> EndToEnd:
    """Run the load against the gateway of a stack. Raises `BenchFailed` when events do not come through at all."""
    result = EndToEnd(FreshnessRecord(secrets.token_hex(3)))
    http = HttpClient(info.gateway.url)
    pages = Pages(http, info.gateway.url, info.keys.publishable, result.record.frame)
    try:
        opened = await pages.open(load.visitors, load.websocket_every)
        run = _Run(http, opened, result)
        await run.settle()
        await run.steady(load.rate, load.warmup_s, measured=False)
        meter = CpuMeter(info.pids)
        await run.steady(load.rate, load.seconds, measured=True)
        result.cpu = meter.read()
        await run.drained(DRAIN_S)
        result.failures += pages.problems
    finally:
        await pages.close()
        http.close()
    return result


class _Run:
    """Sends events and keeps count."""

    def __init__(self, http: HttpClient, pages: list[Page], result: EndToEnd) -> None:
        self._http = http
        self._pages = pages
        self._result = result
        self._record = result.record
        self._sends: set[asyncio.Task[None]] = set()
        self._number = 0

    async def settle(self) -> None:
        """One event a visitor, and wait until all are shown."""
        for _ in self._pages:
            self._send_next(measured=False)
        if not await self.drained(SETTLE_S):
            raise BenchFailed(f"{self._record.pending} of the first {len(self._pages)} events were not shown within {SETTLE_S:.0f} s")

    async def steady(self, rate: float, seconds: float, *, measured: bool) -> None:
        """Send at the rate, whatever becomes of what was sent before (open loop)."""
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
        """Wait until nothing is pending and every request was answered; whether that came true in time."""
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

    async def _send(self, page: Page, number: int, *, measured: bool) -> None:
        body = self._body(number)
        at = time.monotonic()
        self._record.sent(page.visitor, number, at, measured=measured)
        self._result.events += measured
        try:
            answer = await self._http.post(body, page.token)
        except Exception as problem:  # noqa: BLE001 - told in the report; the load goes on
            self._result.failures.append(f"{type(problem).__name__}: {problem}")
            return
        if measured:
            self._result.answered_ms.append((time.monotonic() - at) * 1000)
        if b'"ACCEPTED"' not in answer:
            self._result.failures.append(answer[:300].decode(errors="replace"))

    def _body(self, number: int) -> bytes:
        # Two topics in turn, also for each visitor; one product, so that the cart stays a cart.
        added = (number + number // len(self._pages)) % 2
        event = {
            "messageId": f"{self._record.run}-{number}",
            "type": "PRODUCT_ADDED" if added else "PRODUCT_VIEWED",
            "timestamp": format_time_ms(system_now_ms()),
            "sequence": number,
            "sessionId": self._record.run,
            "product": {"productId": "bench-1", "category": self._record.category(number), "price": "19.90", "currency": "EUR"},
        }
        return orjson.dumps({"query": _TRACK, "variables": {"events": [event]}})
