"""The real Kafka broker, one node in KRaft mode: its settings, its storage, its topics."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from gateway.model.events.topics import SOURCE_TOPICS, Topic
from local_stack.artifacts.jars import BROKER_GROUP, jar_paths
from local_stack.data.folder import KAFKA, DataFolder
from local_stack.data.identity import Identity
from local_stack.errors import DataMismatch, PartFailed
from local_stack.machine.java import PERF_DATA_OFF, Java
from local_stack.machine.ports import HOST, Ports, accepts_connections

T = TypeVar("T")

PARTITIONS: Final = 2

# Retention counts from the time of arrival: replayed events have old times, and must be kept as long as others.
_ARRIVAL_TIME: Final = {"message.timestamp.type": "LogAppendTime"}
_FOREVER: Final = {"retention.ms": "-1"}
_DAY_MS: Final = 86_400_000
_KEPT_30_DAYS: Final = _ARRIVAL_TIME | {"retention.ms": str(30 * _DAY_MS)}
_TOPICS: Final[dict[Topic, tuple[int, dict[str, str]]]] = {
    **dict.fromkeys((*SOURCE_TOPICS, Topic.DEAD_LETTERS), (PARTITIONS, _KEPT_30_DAYS)),
    Topic.CONTEXT_UPDATES: (PARTITIONS, _ARRIVAL_TIME | {"retention.ms": str(_DAY_MS)}),
    Topic.RULESETS: (1, _FOREVER | {"max.message.bytes": str(4 * 1024 * 1024)}),
    Topic.ERASURES: (1, _FOREVER | {"cleanup.policy": "compact"}),
}
"""The number of partitions and the settings of each topic."""
_FORMAT_TIMEOUT_S: Final = 60
_CALL_TIMEOUT_S: Final = 20

_SETTINGS: Final = """\
# Written by local_stack at each start: one broker, which is also the controller, for development.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{kafka},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{kafka}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={storage}
auto.create.topics.enable=false
# With one node there is one replica.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# After kill -9 the controller accepts the broker again when its old session has ended: sooner than after the default 9 s.
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=1000
# A consumer group has one member here, so do not wait for others to join.
group.initial.rebalance.delay.ms=0
"""

_LOGGING: Final = """\
# Written by local_stack: everything goes to standard output, which is the log file.
appender.stdout.type = Console
appender.stdout.name = STDOUT
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{yyyy-MM-dd HH:mm:ss.SSS} %-5p %c{1}: %m%n
rootLogger.level = WARN
rootLogger.appenderRef.stdout.ref = STDOUT
logger.kafka.name = kafka.server
logger.kafka.level = INFO
logger.config.name = kafka.server.KafkaConfig
logger.config.level = WARN
"""


def prepare_storage(folder: DataFolder, identity: Identity, ports: Ports, java: Java) -> None:
    """Write the settings, and format the storage if that was not done yet. Blocks for about two seconds the first time.

    Raises DataMismatch if the storage belongs to another cluster, PartFailed if it cannot be formatted.
    """
    folder.kafka.mkdir(parents=True, exist_ok=True)
    settings = _settings_file(folder)
    settings.write_text(_SETTINGS.format(host=HOST, kafka=ports.kafka, controller=ports.controller, storage=folder.kafka_storage))
    _logging_file(folder).write_text(_LOGGING)
    cluster_id = _cluster_id(folder)
    if cluster_id == identity.cluster_id:
        return
    if cluster_id is not None:
        remedy = "scripts/demo --reset deletes this data and starts over"
        raise DataMismatch("kafka", f"its storage belongs to cluster {cluster_id}, not to {identity.cluster_id}", remedy)
    shutil.rmtree(folder.kafka_storage, ignore_errors=True)  # of a start that was interrupted while formatting
    _format(settings, identity, java)


def _format(settings: Path, identity: Identity, java: Java) -> None:
    command = [str(java.binary), PERF_DATA_OFF, "-cp", _class_path(), "kafka.tools.StorageTool"]
    command += ["format", "-t", identity.cluster_id, "-c", str(settings)]
    remedy = "read the output above; scripts/demo --reset deletes all data and starts over"
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise PartFailed("kafka", f"formatting its storage took more than {_FORMAT_TIMEOUT_S} s", remedy) from error
    if process.returncode != 0:
        raise PartFailed("kafka", "its storage cannot be formatted", remedy, (process.stdout + process.stderr)[-2000:])


def broker_command(folder: DataFolder, java: Java) -> list[str]:
    """The command that runs the broker."""
    return [
        str(java.binary),
        "-Xms256m",
        "-Xmx512m",
        "-XX:+ExitOnOutOfMemoryError",
        PERF_DATA_OFF,
        f"-Djava.io.tmpdir={folder.temporary_of(KAFKA)}",
        f"-Dlog4j2.configurationFile={_logging_file(folder)}",
        "-cp",
        _class_path(),
        "kafka.Kafka",
        str(_settings_file(folder)),
    ]


def broker_answers(ports: Ports) -> bool:
    """Whether the broker responds to a request for its topics; waits three seconds at most."""
    if not accepts_connections(ports.kafka):
        return False
    try:
        _run_apart(_topics(f"{HOST}:{ports.kafka}"), timeout_s=3)
    except (KafkaError, TimeoutError, OSError):
        return False
    return True


def create_topics(ports: Ports) -> None:
    """Create the topics that do not exist yet. Raises PartFailed if the broker refuses."""
    try:
        _run_apart(_create_missing(f"{HOST}:{ports.kafka}"), timeout_s=_CALL_TIMEOUT_S)
    except (KafkaError, TimeoutError, OSError) as error:
        raise PartFailed("kafka", f"its topics cannot be created: {error!r}", "read .local/log/kafka.log") from error


async def _create_missing(bootstrap: str) -> None:
    async with _Admin(bootstrap) as admin:
        present = set(await admin.list_topics())
        missing = [topic for topic in _TOPICS if topic.value not in present]
        if not missing:
            return
        answer = await admin.create_topics(
            [NewTopic(topic.value, _TOPICS[topic][0], 1, topic_configs=_TOPICS[topic][1]) for topic in missing],
            timeout_ms=10_000,
        )
        refused = [f"{name}: error {code}" for name, code, *_ in answer.topic_errors if code]
        if refused:
            raise KafkaError(", ".join(refused))
        while not set(await admin.list_topics()) >= {topic.value for topic in missing}:  # noqa: ASYNC110 - Kafka has no event for it
            await asyncio.sleep(0.05)


async def _topics(bootstrap: str) -> list[str]:
    async with _Admin(bootstrap) as admin:
        return list(await admin.list_topics())


class _Admin:
    """An admin client that is always closed, also if it fails to start."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    async def __aenter__(self) -> AIOKafkaAdminClient:
        self._client = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap, request_timeout_ms=10_000)
        try:
            await self._client.start()
        except BaseException:
            await self._client.close()
            raise
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()


def _run_apart(work: Coroutine[Any, Any, T], timeout_s: float) -> T:
    """Run a coroutine to its end in a new thread, because the caller may be inside an event loop. Raises TimeoutError."""

    async def limited() -> T:
        async with asyncio.timeout(timeout_s):
            return await work

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, limited()).result()


def _cluster_id(folder: DataFolder) -> str | None:
    """The cluster id of the formatted storage; None if it is not formatted."""
    try:
        text = (folder.kafka_storage / "meta.properties").read_text()
    except FileNotFoundError:
        return None
    match = re.search(r"^cluster\.id=(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else ""


def _settings_file(folder: DataFolder) -> Path:
    return folder.kafka / "server.properties"


def _logging_file(folder: DataFolder) -> Path:
    return folder.kafka / "log4j2.properties"


def _class_path() -> str:
    return os.pathsep.join(str(path) for path in jar_paths(BROKER_GROUP))
