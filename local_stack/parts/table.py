"""The parts of the stack, in one table.

To add a part, add an entry to `PARTS`, after the parts that it needs. Parts are stopped in reverse order. The context stream comes after
the context writer, so that the writer still runs until the stream has written its last update.
"""

from __future__ import annotations

import json
import sys
from typing import Final

from gateway.transport.documents.manifest import documents_of, write_manifest
from local_stack.artifacts.builds import GRAPHIQL, SNIPPET, ensure_build
from local_stack.artifacts.jars import CONNECTOR_GROUP, jar_paths
from local_stack.data.folder import CHECKPOINTS, KAFKA, VALKEY
from local_stack.machine.java import spark_java_home
from local_stack.machine.ports import HOST
from local_stack.parts import kafka, valkey
from local_stack.parts.part import AnswersHttp, LogContains, Part, Wiring
from local_stack.project import PROJECT_ROOT


def _gateway_environment(wiring: Wiring) -> dict[str, str]:
    """Settings of the gateway and of the context writer, which are the same."""
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
    ensure_build(GRAPHIQL)
    # The documents that the storefront's pages and server send, so that the gateway knows their hashes from the first request on.
    trusted = documents_of([SNIPPET / "src", PROJECT_ROOT / "clients" / "python" / "personalization_gateway" / "operations"])
    wiring.folder.documents_file.write_bytes(write_manifest(trusted))


def _prepare_storefront(_: Wiring) -> None:
    ensure_build(SNIPPET)


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
        ready=LogContains("context writer ready"),
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
            *("--master", "local[16]"),  # one task slot for each source partition, which real-time mode never releases
            "--trends",
        ),
        environment=_spark_environment,
        ready=LogContains("context stream ready"),
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
        ready=AnswersHttp("gateway", "/readyz"),
        needs=("kafka", "valkey"),
        ports=("gateway",),
        memory_mib=256,
    ),
    Part(
        name="storefront",
        command=lambda w: _python("examples.storefront", "--host", HOST, "--port", str(w.ports.storefront)),
        environment=_storefront_environment,
        prepare=_prepare_storefront,
        ready=AnswersHttp("storefront", "/healthz"),
        needs=("kafka", "valkey"),
        ports=("storefront",),
        memory_mib=192,
    ),
)
