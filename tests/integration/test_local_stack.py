"""The local stack with its real Kafka and Valkey: starting, stopping, dying, and what stays."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from gateway.model.events.topics import SOURCE_TOPICS, Topic
from local_stack.data.identity import DATA_ID_KEY
from local_stack.errors import DataMismatch, PortInUse
from local_stack.machine.processes import DATA_MARK
from local_stack.project import PROJECT_ROOT
from local_stack.stack.local_stack import LocalStack
from tests.support.free_ports import free_port_base

PARTS = ["kafka", "valkey"]
TEMPORARY = "parts.tmp"


def until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every process of the stack in the folder: its parts and its watchdog."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get(DATA_MARK) == str(folder) or str(folder) in " ".join(process.cmdline())
            if ours and process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


class Command:
    """`python -m local_stack` for the two parts, as a process of its own."""

    def __init__(self, folder: Path, base: int, *arguments: str) -> None:
        self.output = folder.parent / f"output-{time.monotonic_ns()}"
        command = [sys.executable, "-m", "local_stack", "--data-dir", str(folder), "--port-base", str(base)]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--parts", ",".join(PARTS), *arguments],
                cwd=PROJECT_ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self, text: str) -> bool:
        return text in self.output.read_text()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder; whatever the test does, nothing of it runs afterwards."""
    place = tmp_path / "data"
    yield place
    left = processes_of(place)
    for process in left:
        process.kill()
    assert not left


def test_stack_starts_restarts_and_leaves_nothing(folder: Path) -> None:
    """Both parts answer, `stack.json` names them, each can be killed and started again, and a stop leaves no process."""
    stack = LocalStack(folder, free_port_base(21100), PARTS)
    with stack:
        info = stack.info()
        written = json.loads((folder / "stack.json").read_text())
        assert written["kafka"] == {"bootstrap": info.kafka.bootstrap, "pid": info.kafka.pid}
        assert written["redis"] == {"url": info.redis.url, "pid": info.redis.pid}
        assert "gateway" not in written
        for part in PARTS:
            stack.kill(part)
            stack.start_part(part)
            stack.restart(part)
        assert json.loads((folder / "stack.json").read_text())["kafka"]["pid"] == stack.info().kafka.pid
        assert not stack.dead_parts()
        assert len(processes_of(folder)) == 3  # the parts and the watchdog
        assert {path.name for path in (folder / TEMPORARY).iterdir()} == set(PARTS)
    assert not processes_of(folder)
    assert not (folder / TEMPORARY).exists()
    assert not (folder / "stack.json").exists()


async def test_topics_are_there_with_their_settings(folder: Path) -> None:
    """Events come in two partitions, kept by the time of arrival; rulesets and erasures have one and are kept for good."""
    with LocalStack(folder, free_port_base(21100), PARTS) as stack:
        admin = AIOKafkaAdminClient(bootstrap_servers=stack.info().kafka.bootstrap)
        await admin.start()
        try:
            described = {topic["topic"]: topic for topic in await admin.describe_topics([topic.value for topic in Topic])}
            wanted = [ConfigResource(ConfigResourceType.TOPIC, topic.value) for topic in Topic]
            settings = {
                resource[3]: {entry[0]: entry[1] for entry in resource[4]}
                for answer in await admin.describe_configs(wanted)
                for resource in answer.resources
            }
        finally:
            await admin.close()
    for topic, cleanup in ((Topic.RULESETS, "delete"), (Topic.ERASURES, "compact")):
        assert len(described[topic.value]["partitions"]) == 1
        assert (settings[topic.value]["retention.ms"], settings[topic.value]["cleanup.policy"]) == ("-1", cleanup)
    for topic in (*SOURCE_TOPICS, Topic.CONTEXT_UPDATES, Topic.DEAD_LETTERS):
        assert len(described[topic.value]["partitions"]) == 2
        assert settings[topic.value]["message.timestamp.type"] == "LogAppendTime"
        days = 1 if topic is Topic.CONTEXT_UPDATES else 30
        assert settings[topic.value]["retention.ms"] == str(days * 86_400_000)


async def test_data_survives_an_orderly_stop_and_a_move_of_ports(folder: Path) -> None:
    """A second start, on other ports, finds the records, the keys and the epoch of the first, but no temporary files of a crash."""
    first = LocalStack(folder, free_port_base(21100), PARTS)
    with first:
        producer = AIOKafkaProducer(bootstrap_servers=first.info().kafka.bootstrap, acks="all")
        await producer.start()
        await producer.send_and_wait(Topic.USER_ACTIONS.value, b"kept", partition=1)
        await producer.stop()
        with redis.Redis.from_url(first.info().redis.url) as client:
            client.set("visitor", "kept")
        keys, epoch = first.info().keys, first.wiring.identity.log_epoch
    left = folder / TEMPORARY / "kafka" / "left"
    left.mkdir(parents=True)
    with LocalStack(folder, free_port_base(21100) + 10, PARTS) as second:
        consumer = AIOKafkaConsumer(bootstrap_servers=second.info().kafka.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([TopicPartition(Topic.USER_ACTIONS.value, 1)])
        record = await consumer.getone()
        await consumer.stop()
        assert record.value == b"kept"
        with redis.Redis.from_url(second.info().redis.url) as client:
            assert client.get("visitor") == b"kept"
        assert second.info().keys == keys
        assert not left.exists()
        assert second.wiring.identity.log_epoch == epoch


def test_emptied_valkey_is_refused_until_reset(folder: Path) -> None:
    """Contexts that were flushed do not fit the log; the error names the remedy, and the remedy works."""
    base = free_port_base(21100)
    with LocalStack(folder, base, PARTS) as stack, redis.Redis.from_url(stack.info().redis.url) as client:
        assert client.get(DATA_ID_KEY) is not None
        client.flushall()
    with pytest.raises(DataMismatch, match="valkey: its data was emptied") as caught:
        LocalStack(folder, base, PARTS).start()
    assert "--reset" in caught.value.remedy
    assert not processes_of(folder)
    command = Command(folder, base, "--reset")
    try:
        until(lambda: command.said("all ready"))
        command.process.terminate()
        assert command.process.wait(30) == 0
        assert command.said("deleted kafka, valkey")
    finally:
        command.end()


def test_port_in_use_starts_nothing(folder: Path) -> None:
    """A taken port is told before anything is started."""
    base = free_port_base(21100)
    with socket.create_server(("127.0.0.1", base + 4)), pytest.raises(PortInUse, match=f"valkey: port {base + 4} is in use"):
        LocalStack(folder, base, PARTS).start()
    assert not processes_of(folder)
    assert not (folder / "kafka").exists()


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "half-way"),
        (signal.SIGKILL, "half-way"),
        (signal.SIGTERM, "ready"),
        (signal.SIGKILL, "ready"),
        *(pytest.param(number, "half-way", marks=pytest.mark.long) for number in (signal.SIGTERM, signal.SIGHUP)),
        *(pytest.param(number, "ready", marks=pytest.mark.long) for number in (signal.SIGINT, signal.SIGHUP)),
    ],
)
def test_no_way_to_end_it_leaves_a_process_or_a_temporary_file(folder: Path, number: signal.Signals, moment: str) -> None:
    """Whichever signal ends the command, half-way through its start or later, everything it started ends with it."""
    command = Command(folder, free_port_base(21100))
    try:
        until(lambda: command.said("valkey          ready" if moment == "half-way" else "all ready"))
        command.process.send_signal(number)
        code = command.process.wait(40)
    finally:
        command.end()
    until(lambda: not processes_of(folder))
    assert not (folder / TEMPORARY).exists()
    expected = {signal.SIGKILL: -signal.SIGKILL}.get(number, 130 if moment == "half-way" else 0)
    assert code == expected
    assert not (folder / "stack.json").exists()


@pytest.mark.parametrize("moment", ["valkey", "kafka"])
def test_an_interrupt_whose_exception_was_lost_ends_the_start_too(folder: Path, moment: str) -> None:
    """Python drops what a signal handler raises within a `__del__`: the start looks for itself, also when the last part is ready."""
    stack = LocalStack(folder, free_port_base(21100), PARTS, report=lambda text: stack.interrupt() if text.startswith(moment) else None)
    with pytest.raises(KeyboardInterrupt):
        stack.start()
    assert not processes_of(folder)
    assert not (folder / "stack.json").exists()


def test_a_part_that_dies_ends_the_stack(folder: Path) -> None:
    """The command stops, names the part and shows the last lines of its log, and exits 1."""
    command = Command(folder, free_port_base(21100))
    try:
        until(lambda: command.said("all ready"))
        os.kill(json.loads((folder / "stack.json").read_text())["redis"]["pid"], signal.SIGKILL)
        assert command.process.wait(40) == 1
    finally:
        command.end()
    assert command.said("error: valkey: was ended by SIGKILL")
    assert command.said("Last lines of its log")
    assert command.said("Ready to accept connections")
    assert not processes_of(folder)


def test_a_part_that_dies_comes_back_with_restart(folder: Path) -> None:
    """With --restart the part is started again, and `stack.json` names the new process."""
    command = Command(folder, free_port_base(21100), "--restart")
    try:
        until(lambda: command.said("all ready"))
        old = json.loads((folder / "stack.json").read_text())["redis"]["pid"]
        os.kill(old, signal.SIGKILL)
        until(lambda: json.loads((folder / "stack.json").read_text())["redis"]["pid"] != old)
        command.process.terminate()
        assert command.process.wait(40) == 0
    finally:
        command.end()
    assert command.said("restarting it in 1 s")
    assert not processes_of(folder)


def test_detached_stack_is_found_refuses_a_second_and_stops(folder: Path) -> None:
    """--detach returns when all is ready, a second start is refused with the remedy, --stop ends everything."""
    base = free_port_base(21100)
    detached = Command(folder, base, "--detach")
    try:
        assert detached.process.wait(60) == 0
        assert (folder / "stack.json").exists()
        second = Command(folder, base, "--detach")
        assert second.process.wait(60) == 1
        assert second.said("--stop")
        assert (folder / "stack.json").exists()
    finally:
        stop = Command(folder, base, "--stop")
        assert stop.process.wait(60) == 0
    assert stop.said("stopped in")
    assert not (folder / TEMPORARY).exists()
    assert not processes_of(folder)
    assert not (folder / "stack.json").exists()


def test_stack_starts_again_right_after_its_supervisor_was_killed(folder: Path) -> None:
    """What a killed supervisor leaves for a moment does not stand in the way of the next start, nor does its data."""
    base = free_port_base(21100)
    first = Command(folder, base)
    try:
        until(lambda: first.said("all ready"))
    finally:
        first.end()
    with LocalStack(folder, base, PARTS) as stack:
        assert not stack.dead_parts()
