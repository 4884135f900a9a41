"""What was sent and what was shown: matches frames with events, without a clock or a socket.

Every event has its own category, which the banner's headline repeats. For each visitor:

    frame names the event                      ─▶ shown, after (frame - sent)
    frame names a newer event of the visitor   ─▶ overtaken (latest wins): the page never showed it, but showed a newer one
    no such frame until the end                ─▶ lost
    frame names an older event than the last   ─▶ went back: a defect
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Final

_PREFIX: Final = "Exclusive deals on "
_SUFFIX: Final = " and accessories!"


@dataclass(slots=True)
class SentEvent:
    """An event that was sent but not shown yet. `at` is in seconds of the monotonic clock."""

    number: int
    at: float
    measured: bool


@dataclass(slots=True)
class FreshnessRecord:
    """The record of one run; durations are in milliseconds."""

    run: str
    """Part of every category, so that frames of another run can be recognized."""
    shown_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By transport."""
    overtaken_ms: list[float] = field(default_factory=list)
    """From sending an event until a newer event of the visitor was shown."""
    went_back: int = 0
    _pending: dict[int, OrderedDict[int, SentEvent]] = field(default_factory=lambda: defaultdict(OrderedDict))
    _last: dict[int, int] = field(default_factory=dict)

    def category(self, number: int) -> str:
        """The category of an event."""
        return f"{self.run}-{number}"

    def sent(self, visitor: int, number: int, at: float, *, measured: bool) -> None:
        """Record that an event is about to be sent. Numbers must increase."""
        self._pending[visitor][number] = SentEvent(number, at, measured)

    def frame(self, visitor: int, headline: str, at: float, transport: str) -> None:
        """Record a frame that a visitor's subscription received."""
        number = self._number(headline)
        if number is None:
            return
        if number < self._last.get(visitor, -1):
            self.went_back += 1
        self._last[visitor] = number
        pending = self._pending[visitor]
        while pending and (first := next(iter(pending.values()))).number <= number:
            pending.popitem(last=False)
            if not first.measured:
                continue
            waited_ms = (at - first.at) * 1000
            if first.number == number:
                self.shown_ms[transport].append(waited_ms)
            else:
                self.overtaken_ms.append(waited_ms)

    @property
    def pending(self) -> int:
        """The number of events that are neither shown nor overtaken; at the end of a run they are lost."""
        return sum(map(len, self._pending.values()))

    @property
    def all_shown_ms(self) -> list[float]:
        """The durations over all transports."""
        return [duration for durations in self.shown_ms.values() for duration in durations]

    def _number(self, headline: str) -> int | None:
        category = headline.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        run, _, number = category.rpartition("-")
        return int(number) if run == self.run and number.isdigit() else None
