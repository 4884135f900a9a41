"""What was sent and what was shown: matches frames to events, without a clock or a socket.

Every event has a category of its own, which the banner's headline repeats. Per visitor:

    frame names the event                      ─▶ shown, after (frame - sent)
    frame names a newer event of the visitor   ─▶ overtaken (latest wins): the page never showed it, but something newer
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
class Sent:
    """An event on its way. `at` is in seconds of the monotonic clock."""

    number: int
    at: float
    measured: bool


@dataclass(slots=True)
class FreshnessRecord:
    """The matching of one run; times are in milliseconds."""

    run: str
    """Part of every category, so that frames of another run are told apart."""
    shown_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By transport."""
    overtaken_ms: list[float] = field(default_factory=list)
    """From sending an event until a newer one of the visitor was shown."""
    went_back: int = 0
    _pending: dict[int, OrderedDict[int, Sent]] = field(default_factory=lambda: defaultdict(OrderedDict))
    _last: dict[int, int] = field(default_factory=dict)

    def category(self, number: int) -> str:
        """The category of an event."""
        return f"{self.run}-{number}"

    def sent(self, visitor: int, number: int, at: float, *, measured: bool) -> None:
        """An event is about to be sent; numbers grow."""
        self._pending[visitor][number] = Sent(number, at, measured)

    def frame(self, visitor: int, headline: str, at: float, transport: str) -> None:
        """A frame came to the subscription of a visitor."""
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
        """Events neither shown nor overtaken; at the end of a run: lost."""
        return sum(map(len, self._pending.values()))

    @property
    def all_shown_ms(self) -> list[float]:
        """Over all transports."""
        return [duration for durations in self.shown_ms.values() for duration in durations]

    def _number(self, headline: str) -> int | None:
        category = headline.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        run, _, number = category.rpartition("-")
        return int(number) if run == self.run and number.isdigit() else None
