"""The topic `rulesets`: reading its records in order leads to the versions 1, 2, 3, …

A record names the version that it expects to follow. It is void if that does not match; so is a second copy of a message, and a value
that is not a record. So two publishers at once, or a retry, never make two versions of one request. Only the form of a record counts,
never whether its YAML is a valid ruleset: processes of every release count the same versions. A version whose YAML a process cannot
load is still a version; it just does not come into force there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeGuard

import orjson

CORE_SCHEMA_FORMAT: Final = 2
"""From this format on YAML is read by the core schema of YAML 1.2; before, by PyYAML's reading of YAML 1.1."""
CURRENT_FORMAT: Final = CORE_SCHEMA_FORMAT
"""The format of what is published now. A record without one has format 1."""


class InvalidRecord(ValueError):
    """Bytes that are not a record of this topic."""


@dataclass(frozen=True, slots=True)
class RulesetRecord:
    """A request to publish. `version_expected` None: after any version; 0: only as the first version."""

    message_id: str
    version_expected: int | None
    yaml: str
    published_at_ms: int
    text_format: int = CURRENT_FORMAT
    """How the YAML is to be read."""

    def encode(self) -> bytes:
        """The record's value."""
        return orjson.dumps(
            {
                "version_expected": self.version_expected,
                "format": self.text_format,
                "yaml": self.yaml,
                "published_at_ms": self.published_at_ms,
                "message_id": self.message_id,
            }
        )


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """A version of the ruleset: its YAML and how it is to be read, when it was published, and its offset in the topic."""

    version: int
    yaml: str
    published_at_ms: int
    offset: int
    text_format: int = CURRENT_FORMAT


class RulesetLog:
    """The versions so far. Every record must be absorbed once, in order."""

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
        """The version that a record makes; None: it is void. Raises `InvalidRecord`; such a record is void too."""
        record = decode_record(value)
        if record.message_id in self._versions:
            return None
        if record.version_expected not in (None, self.version):
            self._versions[record.message_id] = None
            return None
        self._offsets.append(offset)
        self._published_ms.append(record.published_at_ms)
        self._versions[record.message_id] = self.version
        self.current = PublishedVersion(self.version, record.yaml, record.published_at_ms, offset, record.text_format)
        return self.current

    def published_by(self, at_ms: int) -> list[int]:
        """The versions that were published up to a moment, newest first."""
        return [version for version in range(self.version, 0, -1) if self._published_ms[version - 1] <= at_ms]

    def version_of(self, message_id: str) -> int | None:
        """The version that a message made; None: it was void. Raises KeyError if the message was not absorbed yet."""
        return self._versions[message_id]

    def offset_of(self, version: int) -> int | None:
        """The offset of a version in the topic; None: there is no such version."""
        return self._offsets[version - 1] if 1 <= version <= self.version else None


def decode_record(value: bytes | None) -> RulesetRecord:
    """The record of a value. Raises `InvalidRecord`."""
    try:
        fields: Any = orjson.loads(value or b"")
    except orjson.JSONDecodeError as problem:
        raise InvalidRecord("not JSON") from problem
    if not isinstance(fields, dict):
        raise InvalidRecord("not an object")
    expected, yaml = fields.get("version_expected"), fields.get("yaml")
    published_at_ms, message_id = fields.get("published_at_ms"), fields.get("message_id")
    text_format = fields.get("format", 1)
    if not (expected is None or _is_unsigned(expected)) or not isinstance(yaml, str):
        raise InvalidRecord("version_expected must be an integer or null, yaml a string")
    if not _is_unsigned(published_at_ms) or not isinstance(message_id, str):
        raise InvalidRecord("published_at_ms must be an integer, message_id a string")
    if not _is_unsigned(text_format) or text_format < 1:
        raise InvalidRecord("format must be an integer from 1")
    # A format of a later release is still a version; it cannot be loaded here.
    return RulesetRecord(message_id, expected, yaml, published_at_ms, text_format)


def _is_unsigned(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
