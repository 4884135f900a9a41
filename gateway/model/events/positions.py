"""Positions: how far the log was read, as the greatest offset of each partition.

Offsets identify events only within one log epoch: after the topics were re-created, the offsets of the newer epoch replace the old ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.model.events.contribution import Position

Partition = tuple[str, int]
"""A topic and the number of one of its partitions."""


@dataclass(frozen=True, slots=True)
class Positions:
    """For each partition the greatest offset that was read, inclusive."""

    log_epoch: int = 0
    offsets: Mapping[Partition, int] = field(default_factory=dict)

    @classmethod
    def of(cls, positions: Iterable[Position], log_epoch: int) -> Positions:
        """The positions that cover all of these events."""
        return cls(log_epoch).after((log_epoch, position) for position in positions)

    def after(self, records: Iterable[tuple[int, Position | None]]) -> Positions:
        """The positions after these records were read too, each with its log epoch. Position None: the record moves no offset."""
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
        """The positions that cover what either covers, in the newer of the two epochs."""
        moves = [(other.log_epoch, Position(*partition, offset)) for partition, offset in other.offsets.items()]
        return self.after([(other.log_epoch, None), *moves])

    def cover(self, other: Positions) -> bool:
        """Whether everything up to `other` was read. An older epoch was read in full long ago; a newer epoch was not read yet."""
        if other.log_epoch != self.log_epoch:
            return self.log_epoch > other.log_epoch
        return all(self.offsets.get(partition, -1) >= offset for partition, offset in other.offsets.items())

    def as_json(self) -> dict[str, int]:
        """Offsets by `topic/partition`, sorted."""
        return {f"{topic}/{partition}": offset for (topic, partition), offset in sorted(self.offsets.items())}


def positions_of_context(context: Mapping[str, Any] | None) -> Positions:
    """The positions of a context (public JSON; None: there is none)."""
    context = context or {}
    offsets = {}
    for name, offset in context.get("positions", {}).items():
        topic, _, partition = name.rpartition("/")
        offsets[topic, int(partition)] = offset
    return Positions(context.get("log_epoch", 0), offsets)
