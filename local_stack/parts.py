"""The parts of the stack: one table that says what each needs, how it is run, and when it is ready.

To add a part: one entry in `PARTS`, after what it needs. Parts are stopped in the reverse order of the table, so the context
stream comes after the writer: when everything stops, the writer is there until the stream has said its last word.
"""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.transport.documents.manifest import documents_of, write_manifest
from local_stack import kafka, valkey
from local_stack.builds import GRAPHIQL, SNIPPET, built
from local_stack.data import CHECKPOINTS, KAFKA, VALKEY, DataFolder, Identity, Keys
from local_stack.jars import CONNECTOR_GROUP, jar_paths
from local_stack.java import Java, spark_java_home
from local_stack.ports import HOST, Ports
from local_stack.processes import PROJECT_ROOT, Child


@dataclass(frozen=True)
class Wiring:
    """All that the parts of one stack have in common."""

    folder: DataFolder
    ports: Ports
    keys: Keys
    identity: Identity
    java: Java

    @property
    def bootstrap(self) -> str:
        """Address of the broker."""
        return f"{HOST}:{self.ports.kafka}"

    @property
    def redis_url(self) -> str:
        """Address of Valkey, database 0."""
        return f"redis://{HOST}:{self.ports.valkey}/0"

    @property
    def gateway_url(self) -> str:
        """Address of the gateway, without a path."""
        return f"http://{HOST}:{self.ports.gateway}"

    @property
    def storefront_url(self) -> str:
        """Address of the storefront, without a path."""
        return f"http://{HOST}:{self.ports.storefront}"


class Readiness(Protocol):
    """A test that is repeated until it holds; must answer within a few seconds and raise nothing."""

    def __call__(self, wiring: Wiring, child: Child) -> bool: ...


def _nothing(_: Wiring) -> None:
    """A step that a part does not have."""


@dataclass(frozen=True)
class Part:
    """One process of the stack.

    `needs`: parts that must be ready before. `ports`: fields of `Ports` it listens on. `memory_mib`: what it takes. `prepare`
    runs before every start, `once_ready` after the first. `store`: the store of `local_stack.data` it writes.
    """

    name: str
    command: Callable[[Wiring], list[str]]
    ready: Readiness
    memory_mib: int
    needs: Sequence[str] = ()
    ports: Sequence[str] = ()
    environment: Callable[[Wiring], Mapping[str, str]] = lambda _: {}
    prepare: Callable[[Wiring], None] = _nothing
    once_ready: Callable[[Wiring], None] = _nothing
    store: str | None = None
    ready_within_s: float = 60.0
    stop_within_s: float = 10.0


@dataclass(frozen=True)
class Logged:
    """Ready when the part's log has this text since its start."""

    text: str

    def __call__(self, wiring: Wiring, child: Child) -> bool:
        return self.text in child.output()


@dataclass(frozen=True)
class Serves:
    """Ready when GET `path` on the port named in `Ports` answers 200."""

    port: str
    path: str

    def __call__(self, wiring: Wiring, child: Child) -> bool:
        connection = http.client.HTTPConnection(HOST, getattr(wiring.ports, self.port), timeout=2)
        try:
            connection.request("GET", self.path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _gateway_environment(wiring: Wiring) -> dict[str, str]:
    """Settings of the gateway, and of the context writer, which has the same."""
    port = wiring.ports.storefront
    return {
        "GATEWAY_KAFKA_BOOTSTRAP": wiring.bootstrap,
        "GATEWAY_REDIS_URL": wiring.redis_url,
        "GATEWAY_LOG_EPOCH": str(wiring.identity.log_epoch),
        "GATEWAY_RULESET_FILE": str(PROJECT_ROOT / "examples" / "storefront" / "campaigns.yaml"),
        "GATEWAY_SECRET_KEYS": json.dumps([wiring.keys.secret]),
        "GATEWAY_PUBLISHABLE_KEYS": json.dumps([wiring.keys.publishable]),
        "GATEWAY_TOKEN_SECRET": wiring.keys.token_secret,
        "GATEWAY_ALLOWED_ORIGINS": json.dumps([f"http://{HOST}:{port}", f"http://localhost:{port}"]),
        "GATEWAY_ENVIRONMENT": "development",
        "GATEWAY_GRAPHIQL_DIR": str(GRAPHIQL / "dist"),
        "GATEWAY_DOCUMENTS_FILE": json.dumps([str(wiring.folder.documents_file)]),
    }


def _prepare_gateway(wiring: Wiring) -> None:
    built(GRAPHIQL)
    # What the storefront's pages and its server send: known by its hash from the first request on.
    trusted = documents_of([SNIPPET / "src", PROJECT_ROOT / "gateway" / "client" / "operations"])
    wiring.folder.documents_file.write_bytes(write_manifest(trusted))


def _prepare_storefront(_: Wiring) -> None:
    built(SNIPPET)


def _storefront_environment(wiring: Wiring) -> dict[str, str]:
    return {
        "STOREFRONT_GATEWAY_URL": wiring.gateway_url,
        "STOREFRONT_SECRET_KEY": wiring.keys.secret,
        "STOREFRONT_PUBLISHABLE_KEY": wiring.keys.publishable,
        "STOREFRONT_PANEL": "true",
    }


def _spark_environment(wiring: Wiring) -> dict[str, str]:
    return {
        "GATEWAY_REDIS_URL": wiring.redis_url,
        "JAVA_HOME": str(spark_java_home(wiring.java, wiring.folder.java_home)),
        "SPARK_CONNECTOR_JARS": ",".join(str(path) for path in jar_paths(CONNECTOR_GROUP)),
        "SPARK_DRIVER_MEMORY": "1g",
        "SPARK_LOCAL_IP": HOST,
        "SPARK_LOCAL_DIRS": str(wiring.folder.scratch),
        "PYSPARK_PYTHON": sys.executable,
    }


def _python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


PARTS: Final = (
    Part(
        name="kafka",
        command=lambda w: kafka.broker_command(w.folder, w.java),
        prepare=lambda w: kafka.prepare_storage(w.folder, w.identity, w.ports, w.java),
        ready=lambda w, _: kafka.broker_answers(w.ports),
        once_ready=lambda w: kafka.create_topics(w.ports),
        ports=("kafka", "controller"),
        store=KAFKA,
        memory_mib=768,
        stop_within_s=20.0,
    ),
    Part(
        name="valkey",
        command=lambda w: valkey.server_command(w.folder, w.ports),
        ready=lambda w, _: valkey.server_answers(w.ports),
        once_ready=lambda w: valkey.check_data_id(w.ports, w.identity),
        ports=("valkey",),
        store=VALKEY,
        memory_mib=128,
    ),
    Part(
        name="context_writer",
        command=lambda w: _python("processors", "context-writer"),
        environment=_gateway_environment,
        ready=Logged("context writer ready"),
        needs=("kafka", "valkey"),
        memory_mib=192,
    ),
    Part(
        name="context_stream",
        command=lambda w: _python(
            "processors",
            "context-stream",
            *("--bootstrap", w.bootstrap),
            *("--checkpoint", str(w.folder.checkpoints / "context-stream")),
            *("--log-epoch", str(w.identity.log_epoch)),
            *("--master", "local[16]"),  # one slot for each source partition, held for good
            "--trends",
        ),
        environment=_spark_environment,
        ready=Logged("context stream ready"),
        needs=("kafka",),
        store=CHECKPOINTS,
        memory_mib=1536,
        ready_within_s=180.0,
        stop_within_s=20.0,
    ),
    Part(
        name="gateway",
        command=lambda w: _python("gateway", "serve", "--host", HOST, "--port", str(w.ports.gateway)),
        environment=_gateway_environment,
        prepare=_prepare_gateway,
        ready=Serves("gateway", "/readyz"),
        needs=("kafka", "valkey"),
        ports=("gateway",),
        memory_mib=256,
    ),
    Part(
        name="storefront",
        command=lambda w: _python("examples.storefront", "--host", HOST, "--port", str(w.ports.storefront)),
        environment=_storefront_environment,
        prepare=_prepare_storefront,
        ready=Serves("storefront", "/healthz"),
        needs=("kafka", "valkey"),
        ports=("storefront",),
        memory_mib=192,
    ),
)
