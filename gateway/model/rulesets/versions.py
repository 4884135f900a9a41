"""The topic `rulesets`: folding its records in order gives the versions 1, 2, 3, …

A record carries the version it expects to follow; one that does not match is void, as is a second copy of a message, and
what is no record at all. So two publishers at once, or a retry, never make two versions of one wish. The fold asks for the
form of a record only, never whether its YAML is a good ruleset: every process, of whatever release, counts alike. A version
whose YAML a process cannot load is a version all the same, which does not come into force there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

import orjson


class InvalidRecord(ValueError):
    """Bytes that are no record of this topic."""


@dataclass(frozen=True, slots=True)
class RulesetRecord:
    """A wish to publish. `version_expected` None: after whatever is current; 0: only as the first."""

    message_id: str
    version_expected: int | None
    yaml: str
    published_at_ms: int

    def encode(self) -> bytes:
        """The record's value."""
        return orjson.dumps(
            {
                "version_expected": self.version_expected,
                "yaml": self.yaml,
                "published_at_ms": self.published_at_ms,
                "message_id": self.message_id,
            }
        )


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A version of the ruleset: its text, its place in the topic, and when it was published."""

    version: int
    yaml: str
    published_at_ms: int
    offset: int


class RulesetLog:
    """The fold. Feed it every record once, in order."""

    def __init__(self) -> None:
        self.current: PublishedVersion | None = None
        self._offsets: list[int] = []
        self._published_ms: list[int] = []
        self._versions: dict[str, int | None] = {}

    @property
    def version(self) -> int:
        """The current version; 0 before the first."""
        return len(self._offsets)

    def absorb(self, offset: int, value: bytes | None) -> PublishedVersion | None:
        """The version that a record makes, or None when it is void. Raises `InvalidRecord`; such a record is void, too."""
        record = decode_record(value)
        if record.message_id in self._versions:
            return None
        if record.version_expected not in (None, self.version):
            self._versions[record.message_id] = None
            return None
        self._offsets.append(offset)
        self._published_ms.append(record.published_at_ms)
        self._versions[record.message_id] = self.version
        self.current = PublishedVersion(self.version, record.yaml, record.published_at_ms, offset)
        return self.current

    def published_by(self, at_ms: int) -> list[int]:
        """The versions that had been published by a moment, newest first."""
        return [version for version in range(self.version, 0, -1) if self._published_ms[version - 1] <= at_ms]

    def version_of(self, message_id: str) -> int | None:
        """The version that a message made; None when it was void. Raises KeyError while it was not seen."""
        return self._versions[message_id]

    def offset_of(self, version: int) -> int | None:
        """Where a version stands in the topic, None when there is no such version."""
        return self._offsets[version - 1] if 1 <= version <= self.version else None


def decode_record(value: bytes | None) -> RulesetRecord:
    """The record of a value, or raise `InvalidRecord`."""
    try:
        found: Any = orjson.loads(value or b"")
    except orjson.JSONDecodeError as problem:
        raise InvalidRecord("not JSON") from problem
    if not isinstance(found, dict):
        raise InvalidRecord("not an object")
    expected, text = found.get("version_expected"), found.get("yaml")
    published_at_ms, message_id = found.get("published_at_ms"), found.get("message_id")
    if not (expected is None or _is_whole(expected)) or not isinstance(text, str):
        raise InvalidRecord("version_expected must be a whole number or null, yaml a text")
    if not _is_whole(published_at_ms) or not isinstance(message_id, str):
        raise InvalidRecord("published_at_ms must be a whole number, message_id a text")
    return RulesetRecord(message_id, expected, text, published_at_ms)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
