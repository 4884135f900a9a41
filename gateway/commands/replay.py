"""`gateway replay`: recorded events sent with the `track` mutation, as a shop's server would send them.

Most events are sent in batches of many visitors. Every n-th is sent alone and asks for `decisions` in the same mutation: the
gateway answers once the visitor's context covers the event, so the duration of that request is the event-to-context latency.
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
from gateway.commands.recorded import EventInputJson, MalformedFile, read_recorded
from gateway.commands.secret_key import NoSecretKey, secret_key
from gateway.graphql_http import GraphQLClient, NoGraphQLAnswer, extensions_of, read_answer
from gateway.reports.columns import counted

MAX_BATCH: Final = 100
IN_FLIGHT: Final = 8
"""Batches that may be waiting for an answer at the same time."""
SAMPLE_EVERY: Final = 20
SAMPLES_IN_FLIGHT: Final = 64
MAX_WAIT_MS: Final = 10_000
PLACEMENT: Final = "homepage-hero"
"""Any placement will do, even one that the ruleset does not have: the wait for the context is the same."""
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
    """The gateway refuses whole requests (a wrong key, another API): sending more would not help."""


@dataclass(slots=True)
class ReplayResult:
    """The outcome of a replay. Every input is counted once: accepted, rejected, unknown or unsent."""

    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """By code."""
    problems: list[str] = field(default_factory=list)
    """The first few rejections, and why the replay gave up sending."""
    unknown: int = 0
    """Events that were sent, but no attempt got an answer about them."""
    unsent: int = 0
    """Events that were not sent: the gateway had stopped answering."""
    retries: int = 0
    """Requests that were sent again."""
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    """Of sampled events: from sending one to the answer that the context covers it."""
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
    inputs: Sequence[EventInputJson],
    rate: float = 0,
    progress: Callable[[int], None] | None = None,
    *,
    sample_every: int = SAMPLE_EVERY,
) -> ReplayResult:
    """Send `inputs` (JSON of `EventInput`, each with its `userId`) in order, with several requests at the same time.

    `rate` is in events per second; 0: as fast as the gateway takes them. `progress` is called with the number of events just
    finished. After a temporary failure events are sent again with the same message ids, up to `MAX_ATTEMPTS` times. Raises
    `ReplayFailed` if the gateway refuses a whole request.
    """
    sender = _Sender(client, GraphQLClient(url, key), progress or _no_progress)
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
        raise _first_problem(group) from None
    sender.result.seconds = time.monotonic() - started
    return sender.result


def _no_progress(_events: int) -> None:
    """Progress is not shown."""


def _first_problem(group: ExceptionGroup[Exception]) -> Exception:
    problem: Exception = group
    while isinstance(problem, ExceptionGroup):
        problem = problem.exceptions[0]
    return problem


def _batches(inputs: Sequence[EventInputJson], rate: float, sample_every: int) -> Iterator[tuple[list[EventInputJson], bool]]:
    """The events in order, with whether they are a sample: every `sample_every`-th, alone. At a rate, a batch covers 0.1 s."""
    size = MAX_BATCH if rate <= 0 else max(1, min(MAX_BATCH, int(rate / 10)))
    batch: list[EventInputJson] = []
    for number, event_input in enumerate(inputs):
        if sample_every and number % sample_every == 0:
            yield [event_input], True
            continue
        batch.append(event_input)
        if len(batch) == size:
            yield batch, False
            batch = []
    if batch:
        yield batch, False


class _TemporaryFailure(Exception):
    """The whole request failed, but may succeed when it is sent again after the pause that the gateway asks for."""

    def __init__(self, cause: str, pause_s: float = 0.0) -> None:
        super().__init__(cause)
        self.pause_s = pause_s


class _Sender:
    """Sends batches until every event has its answer, and counts the answers."""

    def __init__(self, http: httpx.AsyncClient, graphql: GraphQLClient, progress: Callable[[int], None]) -> None:
        self.result = ReplayResult()
        self.batch_slots = asyncio.Semaphore(IN_FLIGHT)
        self.sample_slots = asyncio.Semaphore(SAMPLES_IN_FLIGHT)
        self._http = http
        self._graphql = graphql
        self._progress = progress
        self._gave_up = False

    async def send(self, batch: list[EventInputJson], slots: asyncio.Semaphore, *, is_sample: bool) -> None:
        """Send a batch and release its slot. Raises `ReplayFailed`."""
        try:
            if self._gave_up:
                self.result.unsent += len(batch)
            else:
                await self._send(batch, is_sample=is_sample)
            self._progress(len(batch))
        finally:
            slots.release()

    async def _send(self, batch: list[EventInputJson], *, is_sample: bool) -> None:
        remaining = batch
        cause = ""
        for attempt in range(MAX_ATTEMPTS):
            pause_s = 0.0
            if attempt:
                self.result.retries += 1
            started = time.monotonic()
            try:
                track = await self._post(remaining, is_sample=is_sample)
            except _TemporaryFailure as failure:
                cause, pause_s = str(failure), failure.pause_s
            else:
                remaining = self._count(remaining, track["results"], is_last=attempt == MAX_ATTEMPTS - 1)
                # A repeated event may have been written, and covered, by the attempt before: its latency means nothing.
                if is_sample and not remaining and attempt == 0:
                    self._measure(track.get("decisions"), (time.monotonic() - started) * 1000)
                if not remaining:
                    return
                cause = "the gateway answered UNKNOWN"
            # Jitter, so that requests that failed together are not sent again together.
            await asyncio.sleep(max(pause_s, min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S)) * random.uniform(0.7, 1.3))
        self._give_up(remaining, cause)

    def _give_up(self, remaining: list[EventInputJson], cause: str) -> None:
        self.result.unknown += len(remaining)
        if not self._gave_up:
            self._gave_up = True
            self.result.problems.append(f"gave up after {MAX_ATTEMPTS} attempts to send {remaining[0]['messageId']}: {cause}")

    async def _post(self, events: list[EventInputJson], *, is_sample: bool) -> Mapping[str, Any]:
        """The `track` object of the answer. Raises `_TemporaryFailure` or `ReplayFailed`."""
        variables: dict[str, Any] = {"events": events}
        if is_sample:
            variables |= {"placements": [PLACEMENT], "wait": MAX_WAIT_MS}
        request = self._graphql.request(_SAMPLE if is_sample else _TRACK, variables)
        try:
            response = await self._http.post(**request, timeout=TIMEOUT_S)
        except httpx.TransportError as problem:
            raise _TemporaryFailure(f"{type(problem).__name__}: {problem}".rstrip(": ")) from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise ReplayFailed(f"cannot send to {self._graphql.url}: {problem}") from problem
        return _track_of(response)

    def _count(self, sent: list[EventInputJson], results: Sequence[Mapping[str, Any]], *, is_last: bool) -> list[EventInputJson]:
        """Count the final answers; returns the events that have to be sent again."""
        to_send_again = []
        for event_input, result in zip(sent, results, strict=True):
            error = result["error"] or {}
            if result["status"] == "ACCEPTED":
                self.result.accepted += 1
            elif result["status"] == "REJECTED" and (is_last or error.get("code") != "UNAVAILABLE"):
                self.result.rejected[error.get("code", "")] += 1
                if len(self.result.problems) < SHOWN_PROBLEMS:
                    self.result.problems.append(f"{event_input['messageId']}: {error.get('code')}: {error.get('message')}")
            else:
                to_send_again.append(event_input)
        return to_send_again

    def _measure(self, decisions: Sequence[Mapping[str, Any]] | None, latency_ms: float) -> None:
        if decisions and decisions[0]["fresh"]:
            self.result.latencies_ms.append(latency_ms)
        elif decisions:
            self.result.not_covered += 1


def _track_of(response: httpx.Response) -> Mapping[str, Any]:
    """The `track` object of an answer. Raises `_TemporaryFailure` or `ReplayFailed` if there is none."""
    try:
        answer = read_answer(response)
    except NoGraphQLAnswer as problem:
        if response.status_code >= 500:
            raise _TemporaryFailure(f"HTTP {response.status_code}") from problem
        raise ReplayFailed(f"{response.url} does not answer in GraphQL ({problem}): is it the gateway?") from problem
    track: Mapping[str, Any] | None = (answer.data or {}).get("track")
    if track is not None:
        return track
    raise _request_failure(answer.errors or [{"message": f"HTTP {response.status_code} without a result"}])


def _request_failure(errors: Sequence[Mapping[str, Any]]) -> _TemporaryFailure | ReplayFailed:
    """What the errors of a whole request mean: the first one decides."""
    first = errors[0]
    extensions = extensions_of(first)
    code, message = extensions.get("code", "no code"), first.get("message")
    if code in _RETRIED:
        return _TemporaryFailure(f"{code}: {message}", extensions.get("retryAfterMs", 0) / 1000)
    return ReplayFailed(f"the gateway refuses the request: {code}: {message}")


def replay_file(file: Path, url: str, key: str | None, rate: float, limit: int) -> int:
    """Send the events in a file, with their times shifted so that the last one happens now; returns the exit code.

    0: all accepted; 1: some rejected, unknown or unsent; 2: nothing was sent, because of the file, the key or the gateway.
    """
    try:
        if rate < 0 or limit < 0:
            raise ReplayFailed("--rate and --limit must be 0 or more")
        found_key = secret_key(key, url)
        end_ms = system_now_ms()
        # Unique to this run: a second replay shifts the same rows to other times, so they are different events.
        prefix = f"replay-{end_ms:x}"
        inputs = read_recorded(file, end_ms=end_ms, prefix=prefix, limit=limit)
        result = asyncio.run(_replay_with_progress(url, found_key, inputs, rate))
    except (MalformedFile, NoSecretKey, ReplayFailed) as problem:
        print(f"gateway: {problem}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"gateway: cannot read {file}: {problem.strerror or problem}", file=sys.stderr)
        return 2
    print(summary(result, prefix))
    return 0 if result.ok else 1


async def _replay_with_progress(url: str, key: str, inputs: Sequence[EventInputJson], rate: float) -> ReplayResult:
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=IN_FLIGHT + SAMPLES_IN_FLIGHT)) as client:
        await _check_reachable(client, url)
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("sending", total=len(inputs))
            return await replay_events(client, url, key, inputs, rate, lambda events: bar.advance(task, events))


async def _check_reachable(client: httpx.AsyncClient, url: str) -> None:
    """Raise `ReplayFailed` at once if nothing answers, rather than after all attempts."""
    try:
        await client.get(url.rstrip("/") + "/healthz", timeout=TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise ReplayFailed(f"no gateway answers at {url} ({problem}); start it, or give another address with --url") from problem


def summary(result: ReplayResult, prefix: str) -> str:
    """The result as the command prints it."""
    total = result.accepted + result.rejected.total() + result.unknown + result.unsent
    codes = ", ".join(f"{code} {count}" for code, count in result.rejected.most_common())
    rate = total / result.seconds if result.seconds else 0.0
    lines = [
        f"accepted   {result.accepted}",
        f"rejected   {result.rejected.total()}" + (f"  ({codes})" if codes else ""),
        f"unknown    {result.unknown}" + (f"  and {result.unsent} not sent" if result.unsent else ""),
        f"duration   {result.seconds:.1f} s, {rate:.0f} events/s, {counted(result.retries, 'request')} sent again",
        f"messages   {prefix}-1 …",
    ]
    latency = percentiles(result.latencies_ms)
    if latency is not None:
        figures = f"p50 {latency.p50_ms:.1f} ms, p95 {latency.p95_ms:.1f} ms, p99 {latency.p99_ms:.1f} ms"
        lines += [
            f"latency    event to context: {figures}",
            f"           of {counted(latency.count, 'event')} sent alone: from the request to the answer that the context covers it",
        ]
    if result.not_covered:
        lines.append(f"           the context did not cover {result.not_covered} more within {MAX_WAIT_MS // 1000} s")
    return "\n".join([*lines, *(f"! {problem}" for problem in result.problems)])
