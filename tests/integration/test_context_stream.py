"""The context stream on a real broker: what comes through, what becomes a dead letter, and what a crash or another trigger changes.

Spark takes seconds to start, so the tests share one stack and its log, and run in the order written here.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from gateway.model.events.topics import SOURCE_TOPICS, Topic
from local_stack.stack.local_stack import LocalStack
from processors.context.reshape import DEAD_LETTER_VALUE_BYTES, MAX_HEADERS_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES
from tests.support.free_ports import free_port_base

DEADLINE_S = 60.0
STREAM = "context_stream"
Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Source:
    """A record for a source topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    topic: str = Topic.PAGE_VIEWS


@dataclass(frozen=True)
class Row:
    """A record that the stream wrote; `body` is its parsed value."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers

    @property
    def body(self) -> dict[str, Any]:
        found = json.loads(self.value)
        assert isinstance(found, dict)
        return found

    @property
    def position(self) -> tuple[str, int, int]:
        return self.body["topic"], self.body["partition"], self.body["offset"]


def record(visitor_id: str = "visitor-1", **changes: Any) -> dict[str, Any]:
    """A record as the gateway writes it, with changes."""
    return {
        "message_id": "message-1", "type": "PRODUCT_ADDED", "visitor_id": visitor_id, "event_time_ms": 1_790_000_000_000,
        "received_at_ms": 1_790_000_000_123, "sequence": None, "session_id": "s", "payload": {"product": {"product_id": "p1"}},
    } | changes  # fmt: skip


def encoded(visitor_id: str = "visitor-1", **changes: Any) -> bytes:
    return json.dumps(record(visitor_id, **changes)).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in record().items() if key != name}).encode()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A broker and the stream in real-time mode, which writes its progress as often as it can."""
    folder = tmp_path_factory.mktemp("context-stream")
    interval = {STREAM: ["--checkpoint-interval", "5 seconds"]}
    with LocalStack(folder, free_port_base(22000), parts=["kafka", STREAM], extra_arguments=interval) as running:
        yield running


def send(stack: LocalStack, records: Iterable[Source]) -> list[tuple[str, int, int]]:
    """Write records one after the other; their positions."""

    async def run() -> list[tuple[str, int, int]]:
        async with AIOKafkaProducer(
            bootstrap_servers=stack.wiring.bootstrap, acks="all", max_request_size=4_000_000, compression_type="lz4"
        ) as producer:
            sent = [await producer.send(r.topic, r.value, r.key, headers=r.headers) for r in records]
            return [(found.topic, found.partition, found.offset) for found in await asyncio.gather(*sent)]

    return asyncio.run(run())


def rows_until(stack: LocalStack, enough: Callable[[list[Row]], bool]) -> list[Row]:
    """All rows that the stream ever wrote, read until they are enough; fails at the deadline, saying how many there were."""

    async def run() -> list[Row]:
        partitions = [TopicPartition(topic, number) for topic in (Topic.CONTEXT_UPDATES, Topic.DEAD_LETTERS) for number in (0, 1)]
        consumer = AIOKafkaConsumer(bootstrap_servers=stack.wiring.bootstrap, enable_auto_commit=False)
        consumer.assign(partitions)
        found: list[Row] = []
        async with consumer:
            await consumer.seek_to_beginning()
            until = time.monotonic() + DEADLINE_S
            while not enough(found):
                assert time.monotonic() < until, f"only {len(found)} rows after {DEADLINE_S} s: {found[-3:]}"
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += [Row(r.topic, r.key, r.value, list(r.headers)) for r in batch]
        return found

    return asyncio.run(run())


def rows_of(stack: LocalStack, positions: Iterable[tuple[str, int, int]], epoch: int | None = None) -> dict[tuple[str, int, int], Row]:
    """The update of each position, waited for."""
    wanted = set(positions)

    def updates(rows: list[Row]) -> dict[tuple[str, int, int], Row]:
        of_epoch = (row for row in rows if row.topic == Topic.CONTEXT_UPDATES and epoch in (None, row.body["log_epoch"]))
        return {row.position: row for row in of_epoch if row.position in wanted}

    return updates(rows_until(stack, lambda rows: updates(rows).keys() >= wanted))


def test_a_valid_record_comes_through_verbatim_with_its_position_and_headers(stack: LocalStack) -> None:
    """Spaces, escapes, number forms and unknown fields of the source are kept byte by byte."""
    headers: Headers = [("ce_id", b"message-1"), ("traceparent", b"00-ab-cd-01"), ("empty", None), ("ce_id", b"twice")]
    texts = [
        encoded(),
        b' {"message_id" : "\\u00e9","type":"","visitor_id":"visitor-1","event_time_ms":1,"received_at_ms":-2,\n"payload":{}, "x":1.5e3}\t',
        json.dumps(record(payload={"a": ["ü", {"b": None}, True, 12345678901234567890, "\U0001f4f1"]}), ensure_ascii=False).encode(),
        encoded(payload=json.loads('{"a":' * 97 + "1" + "}" * 97)),
        encoded(payload={"long": "x" * (MAX_VALUE_BYTES - 1000)}),
    ]
    positions = send(stack, [Source(b"visitor-1", text, headers, topic) for topic in SOURCE_TOPICS for text in texts])
    found = rows_of(stack, positions)
    for position, text in zip(positions, texts * len(SOURCE_TOPICS), strict=True):
        row = found[position]
        topic, partition, offset = position
        prefix = f'{{"topic":"{topic}","partition":{partition},"offset":{offset},"log_epoch":{stack.wiring.identity.log_epoch},"event":'
        assert row.value == prefix.encode() + text + b"}"
        assert row.body["event"] == json.loads(text)
        assert (row.key, row.headers) == (b"visitor-1", headers)


LONE_SURROGATE = encoded(message_id="X").replace(b'"X"', b'"\\ud800"')
NOT_JSON = "value must be one JSON object"
POISON: dict[str, tuple[Source, str, str]] = {
    name: (Source(b"visitor-1", value), code, message)
    for name, value, code, message in [
        ("tombstone", None, "REQUIRED", "value is required"),
        ("empty", b"", "MALFORMED", NOT_JSON),
        ("spaces", b"  \n", "MALFORMED", NOT_JSON),
        ("text behind", encoded() + b" garbage", "MALFORMED", NOT_JSON),
        ("brace behind", encoded() + b"}", "MALFORMED", NOT_JSON),
        ("bracket behind", encoded() + b"] garbage", "MALFORMED", NOT_JSON),
        ("element behind", encoded() + b',"x"] garbage', "MALFORMED", NOT_JSON),
        ("two objects", encoded() + encoded(), "MALFORMED", NOT_JSON),
        ("zero byte behind", encoded() + b"\0", "MALFORMED", NOT_JSON),
        ("cut off", encoded()[:-10], "MALFORMED", NOT_JSON),
        ("array", b"[" + encoded() + b"]", "MALFORMED", NOT_JSON),
        ("number", b"5", "MALFORMED", NOT_JSON),
        ("text", b'"{}"', "MALFORMED", NOT_JSON),
        ("null", b"null", "MALFORMED", NOT_JSON),
        ("NaN", encoded(payload={"x": float("nan")}), "MALFORMED", NOT_JSON),
        ("infinity", encoded(payload={"x": float("-inf")}), "MALFORMED", NOT_JSON),
        ("single quotes", encoded().replace(b'"', b"'"), "MALFORMED", NOT_JSON),
        ("comment", encoded() + b"/* */", "MALFORMED", NOT_JSON),
        ("byte order mark", b"\xef\xbb\xbf" + encoded(), "MALFORMED", NOT_JSON),
        ("UTF-16", encoded().decode().encode("utf-16"), "MALFORMED", "value must be UTF-8"),
        ("invalid UTF-8", encoded(message_id="X").replace(b"X", b"\xff"), "MALFORMED", "value must be UTF-8"),
        ("encoded surrogate", encoded(message_id="X").replace(b"X", b"\xed\xa0\x80"), "MALFORMED", "value must be UTF-8"),
        ("lone surrogate", LONE_SURROGATE, "MALFORMED", NOT_JSON),
        ("field twice", encoded()[:-1] + b',"message_id":"b"}', "MALFORMED", NOT_JSON),
        ("10,000 brackets", b'{"payload":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "MALFORMED", NOT_JSON),
        ("10,000 open brackets", b"[" * 10_000, "MALFORMED", NOT_JSON),
        ("number of 5,000 digits", b'{"payload":' + b"9" * 5_000 + b"}", "MALFORMED", NOT_JSON),
        ("too large", encoded(payload={"x": "y" * 3_000_000}), "TOO_LARGE", f"at most {MAX_VALUE_BYTES} bytes"),
        ("1 MB of garbage", b"\xfe" * (MAX_VALUE_BYTES - 1), "MALFORMED", "value must be UTF-8"),
        ("no message id", without("message_id"), "REQUIRED", "message_id is required"),
        ("message id null", encoded(message_id=None), "REQUIRED", "message_id is required"),
        ("message id empty", encoded(message_id=""), "INVALID_VALUE", "message_id must not be empty"),
        ("message id number", encoded(message_id=5), "INVALID_VALUE", "message_id must be a string"),
        ("no type", without("type"), "REQUIRED", "type is required"),
        ("type object", encoded(type={}), "INVALID_VALUE", "type must be a string"),
        ("no visitor", without("visitor_id"), "REQUIRED", "visitor_id is required"),
        ("visitor number", encoded().replace(b'"visitor-1"', b"1"), "INVALID_VALUE", "visitor_id must be a string"),
        ("visitor not the key", encoded("visitor-2"), "INVALID_VALUE", "visitor_id must equal the record's key"),
        ("time text", encoded(event_time_ms="1"), "INVALID_VALUE", "event_time_ms must be an integer"),
        ("time fraction", encoded(event_time_ms=1.5), "INVALID_VALUE", "event_time_ms must be an integer"),
        ("time huge", encoded(event_time_ms=10**30), "INVALID_VALUE", "event_time_ms must be an integer"),
        ("time boolean", encoded(received_at_ms=True), "INVALID_VALUE", "received_at_ms must be an integer"),
        ("no receipt time", without("received_at_ms"), "REQUIRED", "received_at_ms is required"),
        ("no payload", without("payload"), "REQUIRED", "payload is required"),
        ("payload array", encoded(payload=[]), "INVALID_VALUE", "payload must be an object"),
        ("payload text", encoded(payload="{}"), "INVALID_VALUE", "payload must be an object"),
    ]
} | {
    "no key": (Source(None, encoded()), "REQUIRED", "key is required"),
    "empty key": (Source(b"", encoded("")), "REQUIRED", "key is required"),
    "key not UTF-8": (Source(b"\xff\x00", encoded()), "MALFORMED", "key must be UTF-8"),
    "long key": (Source(b"k" * (MAX_KEY_BYTES + 1), encoded()), "TOO_LARGE", "key must have at most"),
}  # fmt: skip


def test_each_poison_record_becomes_a_dead_letter_and_the_stream_goes_on(stack: LocalStack) -> None:
    """A dead letter names position, code and field and has the raw bytes; a readable key also gets an empty update."""
    sources = [source for source, _, _ in POISON.values()]
    positions = send(stack, sources)
    last = send(stack, [Source(b"after", encoded("after"), topic=topic) for topic in SOURCE_TOPICS])
    rows_of(stack, last)
    rows = rows_until(stack, lambda rows: {row.position for row in rows} >= set(positions))
    letters = {row.position: row for row in rows if row.topic == Topic.DEAD_LETTERS}
    updates = {row.position: row for row in rows if row.topic == Topic.CONTEXT_UPDATES}
    for position, (name, (source, code, message)) in zip(positions, POISON.items(), strict=True):
        letter = letters[position]
        assert (letter.body["stage"], letter.body["code"]) == ("context-stream", code), name
        assert message in letter.body["message"], name
        assert letter.body["value_bytes"] == (None if source.value is None else len(source.value)), name
        assert _decoded(letter.body["value_base64"]) == (source.value and source.value[:DEAD_LETTER_VALUE_BYTES]), name
        assert _decoded(letter.body["key_base64"]) == (source.key and source.key[:MAX_KEY_BYTES]), name
        assert isinstance(letter.body["at_ms"], int)
        readable = source.key == b"visitor-1"
        assert letter.key == (None if name == "long key" else source.key), name
        assert (position in updates) == readable, name
        if readable:
            assert (updates[position].key, updates[position].body["event"]) == (b"visitor-1", None), name


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text, validate=True)


def test_headers_too_large_to_pass_on_are_left_out(stack: LocalStack) -> None:
    """They are the only part of a record that the shape checks do not bound, and must not make the update too large to send."""
    [position] = send(stack, [Source(b"visitor-1", encoded(), [("big", b"x" * MAX_HEADERS_BYTES)])])
    row = rows_of(stack, [position])[position]
    assert (row.headers, row.body["event"]["message_id"]) == ([], "message-1")


def test_kill_and_restart_lose_nothing_and_leave_no_jvm(stack: LocalStack) -> None:
    """With the Python process killed the JVM ends by itself; what came before, during and after the gap is in the updates."""
    before = send(stack, _numbered("before"))
    pid = stack.info().context_stream.pid
    assert pid is not None
    jvms = psutil.Process(pid).children(recursive=True)
    assert jvms
    os.kill(pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(jvms, timeout=10)
    assert not alive
    between = send(stack, _numbered("between"))
    stack.start_part(STREAM)
    after = send(stack, _numbered("after"))
    rows_of(stack, [*before, *between, *after])


def _numbered(name: str) -> list[Source]:
    return [
        Source(b"visitor-%d" % (n % 7), encoded(f"visitor-{n % 7}", message_id=f"{name}-{n}"), topic=SOURCE_TOPICS[n % 4])
        for n in range(200)
    ]


def test_the_same_checkpoint_goes_on_with_micro_batches(stack: LocalStack, tmp_path: Path) -> None:
    """Records sent while nothing ran come through, a stop by SIGTERM is orderly and quick, the log is quiet, no temporary file stays."""
    stack.stop_part(STREAM)
    missed = send(stack, _numbered("missed"))
    log, temporary = tmp_path / "stream.log", _folder(tmp_path / "temporary")
    checkpoint = stack.folder.checkpoints / "context-stream"
    process = _run_stream(stack, log, checkpoint, stack.wiring.identity.log_epoch, "1 second", temporary)
    try:
        rows_of(stack, missed)
        until = time.monotonic() + DEADLINE_S
        while "context stream ready" not in log.read_text():
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.1)
        for name in ("spark-*", "artifacts-*", "liblz4-java-*.so"):
            assert list(temporary.glob(f"processors-*/{name}")), name
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert "ERROR" not in log.read_text()
    assert "Traceback" not in log.read_text()
    assert not list(temporary.iterdir())


def test_a_replay_gives_the_same_rows_and_ends(stack: LocalStack, tmp_path: Path) -> None:
    """All that this log ever held, read again in another epoch, in micro-batches and to its end: row for row the same."""
    log, temporary = tmp_path / "replay.log", _folder(tmp_path / "temporary")
    process = _run_stream(stack, log, tmp_path / "checkpoint", 7, "availableNow", temporary)
    try:
        assert process.wait(DEADLINE_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    epoch = stack.wiring.identity.log_epoch

    def distinct(rows: list[Row], of_epoch: int) -> set[tuple[str, bytes | None, bytes, str]]:
        marked = f'"log_epoch":{of_epoch},'.encode()
        return {(r.topic, r.key, r.value.replace(marked, b""), str(r.headers)) for r in rows if marked in r.value}

    rows = rows_until(stack, lambda rows: len(distinct(rows, 7)) >= len(distinct(rows, epoch)) > 0)
    assert distinct(rows, 7) == distinct(rows, epoch)
    letters = [row.value for row in rows if row.topic == Topic.DEAD_LETTERS]
    assert len(set(letters)) == len(POISON)
    assert len(letters) >= 2 * len(POISON)
    assert not list(temporary.iterdir())


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _run_stream(stack: LocalStack, log: Path, checkpoint: Path, epoch: int, trigger: str, temporary: Path) -> subprocess.Popen[bytes]:
    """A stream that a person starts by hand. What is temporary lies in `temporary`."""
    command = [sys.executable, "-m", "processors", "context-stream", "--bootstrap", stack.wiring.bootstrap, "--trigger", trigger]
    command += ["--checkpoint", str(checkpoint), "--log-epoch", str(epoch), "--master", "local[2]"]
    environment = stack.environment(STREAM) | {"TMPDIR": str(temporary)}
    with log.open("wb") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
