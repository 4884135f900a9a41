"""`gateway replay`: recorded events through the `track` mutation, as a shop's server would send them.

Most events go in batches of many visitors. Every n-th goes alone, with `decisions` asked in the same mutation: the gateway
answers that when the visitor's context covers the event, so the time of this round trip is the event-to-context latency.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gateway.clock import system_now_ms
from gateway.commands.percentiles import percentiles
from gateway.commands.recorded import EventInput, MalformedFile, read_recorded
from gateway.commands.secret_key import NoSecretKey, secret_key

MAX_BATCH: Final = 100
IN_FLIGHT: Final = 8
"""Batches on their way at once."""
SAMPLE_EVERY: Final = 20
SAMPLES_IN_FLIGHT: Final = 64
MAX_WAIT_MS: Final = 10_000
PLACEMENT: Final = "homepage-hero"
"""Any will do, also one that the ruleset does not know: the wait for the context is the same."""
MAX_ATTEMPTS: Final = 8
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
TIMEOUT_S: Final = 20.0
SHOWN_PROBLEMS: Final = 5

_RESULTS: Final = "results { messageId status error { code message field } }"
_TRACK: Final = f"mutation($events: [EventInput!]!) {{ track(events: $events) {{ {_RESULTS} }} }}"
_SAMPLE: Final = (
    "mutation($events: [EventInput!]!, $placements: [ID!]!, $wait: Int!) "
    f"{{ track(events: $events) {{ {_RESULTS} decisions(placements: $placements, maxWaitMs: $wait) {{ fresh }} }} }}"
)
_RETRIED: Final = frozenset({"THROTTLED", "UNAVAILABLE", "INTERNAL_SERVER_ERROR"})


class ReplayFailed(Exception):
    """The gateway refuses what is sent as a whole (a wrong key, another API), so going on is no use."""


@dataclass(slots=True)
class ReplayResult:
    """What became of the events. Every input is counted once: accepted, rejected, unknown or unsent."""

    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """By code."""
    problems: list[str] = field(default_factory=list)
    """The first few rejections in words, and why sending was given up."""
    unknown: int = 0
    """Sent, and no answer in all attempts said what became of them."""
    unsent: int = 0
    """Not tried: the gateway had stopped answering."""
    retries: int = 0
    """Requests that were sent again."""
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    """From sending an event to the answer that the context covers it, of the sampled ones."""
    not_covered: int = 0
    """Sampled events that the context did not cover within `MAX_WAIT_MS`."""

    @property
    def ok(self) -> bool:
        """Whether every event was accepted."""
        return not self.rejected and not self.unknown and not self.unsent


async def replay_events(
    client: httpx.AsyncClient,
    url: str,
    key: str,
    inputs: Sequence[EventInput],
    rate: float = 0,
    progress: Callable[[int], None] | None = None,
    *,
    sample_every: int = SAMPLE_EVERY,
) -> ReplayResult:
    """Send `inputs` (JSON of `EventInput`, each with its `userId`) in their order, several requests at once.

    `rate` is in events a second, 0: as fast as the gateway takes them. `progress` is called with the number of events just
    finished. What fails for the moment is sent again with the same message ids, a bounded number of times. Raises
    `ReplayFailed` when the gateway refuses a request as a whole.
    """
    sender = _Sender(client, url.rstrip("/") + "/graphql", key, progress or _no_progress)
    started = time.monotonic()
    sent = 0
    try:
        async with asyncio.TaskGroup() as requests:
            for batch, is_sample in _batches(inputs, rate, sample_every):
                if rate > 0:
                    await asyncio.sleep(started + sent / rate - time.monotonic())
                slots = sender.sample_slots if is_sample else sender.batch_slots
                await slots.acquire()
                requests.create_task(sender.send(batch, slots, is_sample=is_sample))
                sent += len(batch)
    except ExceptionGroup as group:
        raise _first(group) from None
    sender.result.seconds = time.monotonic() - started
    return sender.result


def _no_progress(_events: int) -> None:
    """Nobody watches."""


def _first(group: ExceptionGroup[Exception]) -> Exception:
    problem: Exception = group
    while isinstance(problem, ExceptionGroup):
        problem = problem.exceptions[0]
    return problem


def _batches(inputs: Sequence[EventInput], rate: float, sample_every: int) -> Iterator[tuple[list[EventInput], bool]]:
    """The events in order, every `sample_every`-th alone and marked. At a rate the batches are what comes in 0.1 s."""
    size = MAX_BATCH if rate <= 0 else max(1, min(MAX_BATCH, int(rate / 10)))
    batch: list[EventInput] = []
    for number, one in enumerate(inputs):
        if sample_every and number % sample_every == 0:
            yield [one], True
            continue
        batch.append(one)
        if len(batch) == size:
            yield batch, False
            batch = []
    if batch:
        yield batch, False


class _Again(Exception):
    """The request as a whole failed for the moment; sending it again, after the pause that the gateway asks for, may help."""

    def __init__(self, cause: str, pause_s: float = 0.0) -> None:
        super().__init__(cause)
        self.pause_s = pause_s


class _Sender:
    """Sends batches until each event has its answer, and counts the answers."""

    def __init__(self, client: httpx.AsyncClient, url: str, key: str, progress: Callable[[int], None]) -> None:
        self.result = ReplayResult()
        self.batch_slots = asyncio.Semaphore(IN_FLIGHT)
        self.sample_slots = asyncio.Semaphore(SAMPLES_IN_FLIGHT)
        self._client = client
        self._url = url
        self._headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
        self._progress = progress
        self._gave_up = False

    async def send(self, batch: list[EventInput], slots: asyncio.Semaphore, *, is_sample: bool) -> None:
        """Send a batch and free its slot. Raises `ReplayFailed`."""
        try:
            if self._gave_up:
                self.result.unsent += len(batch)
            else:
                await self._send(batch, is_sample=is_sample)
            self._progress(len(batch))
        finally:
            slots.release()

    async def _send(self, batch: list[EventInput], *, is_sample: bool) -> None:
        left = batch
        cause = ""
        for attempt in range(MAX_ATTEMPTS):
            pause_s = 0.0
            if attempt:
                self.result.retries += 1
            started = time.monotonic()
            try:
                track = await self._post(left, is_sample=is_sample)
            except _Again as again:
                cause, pause_s = str(again), again.pause_s
            else:
                left = self._count(left, track["results"], is_last=attempt == MAX_ATTEMPTS - 1)
                # A repeated event may have been written, and covered, by the attempt before: that time says nothing.
                if is_sample and not left and attempt == 0:
                    self._measure(track.get("decisions"), (time.monotonic() - started) * 1000)
                if not left:
                    return
                cause = "the gateway answered UNKNOWN"
            # Spread, so that what failed together does not come again together.
            await asyncio.sleep(max(pause_s, min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S)) * random.uniform(0.7, 1.3))
        self._give_up(left, cause)

    def _give_up(self, left: list[EventInput], cause: str) -> None:
        self.result.unknown += len(left)
        if not self._gave_up:
            self._gave_up = True
            self.result.problems.append(f"gave up after {MAX_ATTEMPTS} attempts to send {left[0]['messageId']}: {cause}")

    async def _post(self, events: list[EventInput], *, is_sample: bool) -> Mapping[str, Any]:
        """The `track` object of the answer. Raises `_Again` or `ReplayFailed`."""
        variables: dict[str, Any] = {"events": events}
        if is_sample:
            variables |= {"placements": [PLACEMENT], "wait": MAX_WAIT_MS}
        body = {"query": _SAMPLE if is_sample else _TRACK, "variables": variables}
        try:
            response = await self._client.post(self._url, json=body, headers=self._headers, timeout=TIMEOUT_S)
        except httpx.TransportError as problem:
            raise _Again(f"{type(problem).__name__}: {problem}".rstrip(": ")) from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise ReplayFailed(f"{self._url} cannot be asked: {problem}") from problem
        return _track_of(response)

    def _count(self, sent: list[EventInput], results: Sequence[Mapping[str, Any]], *, is_last: bool) -> list[EventInput]:
        """Count the final answers; returns the events that are to be sent again."""
        again = []
        for one, answer in zip(sent, results, strict=True):
            error = answer["error"] or {}
            if answer["status"] == "ACCEPTED":
                self.result.accepted += 1
            elif answer["status"] == "REJECTED" and (is_last or error.get("code") != "UNAVAILABLE"):
                self.result.rejected[error.get("code", "")] += 1
                if len(self.result.problems) < SHOWN_PROBLEMS:
                    self.result.problems.append(f"{one['messageId']}: {error.get('code')}: {error.get('message')}")
            else:
                again.append(one)
        return again

    def _measure(self, decisions: Sequence[Mapping[str, Any]] | None, latency_ms: float) -> None:
        if decisions and decisions[0]["fresh"]:
            self.result.latencies_ms.append(latency_ms)
        elif decisions:
            self.result.not_covered += 1


def _track_of(response: httpx.Response) -> Mapping[str, Any]:
    """The `track` object of an answer. Raises `_Again` or `ReplayFailed` when there is none."""
    try:
        answer: dict[str, Any] = response.json()
        track: Mapping[str, Any] | None = (answer.get("data") or {}).get("track")
    except (ValueError, AttributeError) as problem:
        if response.status_code >= 500:
            raise _Again(f"HTTP {response.status_code}") from problem
        raise ReplayFailed(f"{response.url} answers HTTP {response.status_code}, but no GraphQL: is it the gateway?") from problem
    if track is not None:
        return track
    raise _refusal(answer.get("errors") or [{"message": f"HTTP {response.status_code} without a result"}])


def _refusal(errors: Sequence[Mapping[str, Any]]) -> _Again | ReplayFailed:
    """What a refusal of the whole request means."""
    first = errors[0]
    extensions = first.get("extensions") or {}
    code, message = extensions.get("code", "no code"), first.get("message")
    if code in _RETRIED:
        return _Again(f"{code}: {message}", extensions.get("retryAfterMs", 0) / 1000)
    return ReplayFailed(f"the gateway refuses: {code}: {message}")


def replay(file: Path, url: str, key: str | None, rate: float, limit: int) -> int:
    """Send the events of a file, their times moved to end now; gives the exit code.

    0: all accepted; 1: some rejected, unknown or unsent; 2: nothing was sent (the file, the key or the gateway is not good).
    """
    try:
        if rate < 0 or limit < 0:
            raise ReplayFailed("--rate and --limit take numbers from 0")
        shown_key = secret_key(key, url)
        end_ms = system_now_ms()
        # Of this run alone: a second replay moves the same rows to other times, so they are other events.
        prefix = f"replay-{end_ms:x}"
        inputs = read_recorded(file, end_ms=end_ms, prefix=prefix, limit=limit)
        result = asyncio.run(_replay(url, shown_key, inputs, rate))
    except (MalformedFile, NoSecretKey, ReplayFailed) as problem:
        print(f"gateway: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"gateway: {file} cannot be read: {problem.strerror or problem}", file=sys.stderr)
        return 2
    print(summary(result, prefix))
    return 0 if result.ok else 1


async def _replay(url: str, key: str, inputs: Sequence[EventInput], rate: float) -> ReplayResult:
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=IN_FLIGHT + SAMPLES_IN_FLIGHT)) as client:
        await _check_reachable(client, url)
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("sending", total=len(inputs))
            return await replay_events(client, url, key, inputs, rate, lambda events: bar.advance(task, events))


async def _check_reachable(client: httpx.AsyncClient, url: str) -> None:
    """Raise `ReplayFailed` at once when nobody is there, rather than after all attempts."""
    try:
        await client.get(url.rstrip("/") + "/healthz", timeout=TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise ReplayFailed(f"no gateway answers at {url} ({problem}); start it, or name another by --url") from problem


def summary(result: ReplayResult, prefix: str) -> str:
    """The outcome in words, as the command prints it."""
    total = result.accepted + result.rejected.total() + result.unknown + result.unsent
    codes = ", ".join(f"{code} {count}" for code, count in result.rejected.most_common())
    rate = total / result.seconds if result.seconds else 0.0
    lines = [
        f"accepted   {result.accepted}",
        f"rejected   {result.rejected.total()}" + (f"  ({codes})" if codes else ""),
        f"unknown    {result.unknown}" + (f"  and {result.unsent} not sent" if result.unsent else ""),
        f"duration   {result.seconds:.1f} s, {rate:.0f} events/s, {result.retries} requests sent again",
        f"messages   {prefix}-1 …",
    ]
    found = percentiles(result.latencies_ms)
    if found is not None:
        lines += [
            f"latency    event to context: p50 {found.p50_ms:.1f} ms, p95 {found.p95_ms:.1f} ms, p99 {found.p99_ms:.1f} ms",
            f"           of {found.count} events sent alone, from the request to the answer that the context covers the event",
        ]
    if result.not_covered:
        lines.append(f"           {result.not_covered} more were not covered within {MAX_WAIT_MS // 1000} s")
    return "\n".join([*lines, *(f"! {problem}" for problem in result.problems)])
