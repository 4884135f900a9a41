"""Positions: up to where the log was read, the greatest offset of each partition.

Offsets name events within one log epoch only: when the topics were re-created, the offsets of the newer epoch replace those of the older.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.model.events.contribution import Position

Partition = tuple[str, int]
"""A topic and the number of a partition."""


@dataclass(frozen=True, slots=True)
class Positions:
    """For each partition the offset up to which the log is meant, inclusive."""

    log_epoch: int = 0
    offsets: Mapping[Partition, int] = field(default_factory=dict)

    @classmethod
    def of(cls, positions: Iterable[Position], log_epoch: int) -> Positions:
        """Those that cover all of these events."""
        return cls(log_epoch).after((log_epoch, position) for position in positions)

    def after(self, records: Iterable[tuple[int, Position | None]]) -> Positions:
        """Those after these records were read too, each with its log epoch. None as a position: the record moves no offset."""
        log_epoch, offsets = self.log_epoch, dict(self.offsets)
        for epoch, position in records:
            if epoch > log_epoch:
                log_epoch, offsets = epoch, {}
            if epoch == log_epoch and position is not None:
                topic, partition, offset = position
                if offset > offsets.get((topic, partition), -1):
                    offsets[topic, partition] = offset
        return Positions(log_epoch, offsets)

    def union(self, other: Positions) -> Positions:
        """Those that cover what either covers, in the newer of the two epochs."""
        moves = [(other.log_epoch, Position(*partition, offset)) for partition, offset in other.offsets.items()]
        return self.after([(other.log_epoch, None), *moves])

    def cover(self, other: Positions) -> bool:
        """Whether all that `other` names was read. What an older epoch named was read long ago; a newer epoch was not read yet."""
        if other.log_epoch != self.log_epoch:
            return self.log_epoch > other.log_epoch
        return all(self.offsets.get(partition, -1) >= offset for partition, offset in other.offsets.items())

    def as_json(self) -> dict[str, int]:
        """Offsets by `topic/partition`, sorted."""
        return {f"{topic}/{partition}": offset for (topic, partition), offset in sorted(self.offsets.items())}


def positions_of_context(context: Mapping[str, Any] | None) -> Positions:
    """What a context (public JSON, or None when there is none) has seen."""
    context = context or {}
    offsets = {}
    for name, offset in context.get("positions", {}).items():
        topic, _, partition = name.rpartition("/")
        offsets[topic, int(partition)] = offset
    return Positions(context.get("log_epoch", 0), offsets)
