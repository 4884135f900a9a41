"""The contents of `.local/stack.json`, typed: where everything is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class HttpPart:
    """A part that serves HTTP. `pid` is None if it was not started."""

    url: str
    pid: int | None


@dataclass(frozen=True)
class KafkaPart:
    """The broker; `bootstrap` is `host:port`."""

    bootstrap: str
    pid: int | None


@dataclass(frozen=True)
class ProcessPart:
    """A part that listens on no port."""

    pid: int | None


@dataclass(frozen=True)
class PublicKeys:
    """The API keys for scripts and tests."""

    publishable: str
    secret: str


@dataclass(frozen=True)
class StackInfo:
    """Where everything is: the addresses of all parts, and the process ids of those that were started."""

    gateway: HttpPart
    storefront: HttpPart
    kafka: KafkaPart
    redis: HttpPart
    context_stream: ProcessPart
    trends_stream: ProcessPart
    context_writer: ProcessPart
    keys: PublicKeys
    log_dir: str

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the parts that were started, by their names in `stack.json`. If parts share a process, the first has it."""
        names: dict[int, str] = {}
        for name, part in self.to_json().items():
            if isinstance(part, dict) and "pid" in part:
                names.setdefault(part["pid"], name)
        return {name: pid for pid, name in names.items()}

    def to_json(self) -> dict[str, Any]:
        """The value of `stack.json`: the parts that were started, the keys, the folder of the logs."""
        value: dict[str, Any] = {}
        for name in ("gateway", "storefront", "kafka", "redis", "context_stream", "trends_stream", "context_writer"):
            part = getattr(self, name)
            if part.pid is not None:
                value[name] = dict(vars(part))
        value["keys"] = dict(vars(self.keys))
        value["log_dir"] = self.log_dir
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> StackInfo:
        """The reverse of `to_json`. A part that was not started has an empty address and no process id."""

        def field(part: str, name: str) -> Any:
            return value.get(part, {}).get(name, None if name == "pid" else "")

        def http(part: str) -> HttpPart:
            return HttpPart(field(part, "url"), field(part, "pid"))

        return cls(
            gateway=http("gateway"),
            storefront=http("storefront"),
            kafka=KafkaPart(field("kafka", "bootstrap"), field("kafka", "pid")),
            redis=http("redis"),
            context_stream=ProcessPart(field("context_stream", "pid")),
            trends_stream=ProcessPart(field("trends_stream", "pid")),
            context_writer=ProcessPart(field("context_writer", "pid")),
            keys=PublicKeys(value["keys"]["publishable"], value["keys"]["secret"]),
            log_dir=value["log_dir"],
        )


def read_info(stack_file: Path) -> StackInfo | None:
    """The contents of `stack.json`, or None if no stack is ready."""
    try:
        return StackInfo.from_json(json.loads(stack_file.read_text()))
    except FileNotFoundError:
        return None
