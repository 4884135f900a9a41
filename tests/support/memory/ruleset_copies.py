"""The copy of the ruleset in force, in memory."""

from __future__ import annotations

from collections.abc import Callable

from gateway.store.keys import RULESET_CHANNEL
from gateway.store.rulesets import RulesetCopy
from tests.support.memory.faults import Faults


class MemoryRulesetCopies:
    """A `RulesetCopies`. `stored` is the copy; `reading` and `writing` are what the next calls meet."""

    def __init__(self, announce: Callable[[str], None] = lambda _: None) -> None:
        self.stored: RulesetCopy | None = None
        self.reading = Faults()
        self.writing = Faults()
        self._announce = announce

    async def load(self) -> RulesetCopy | None:
        """As `RulesetCopies.load`."""
        await self.reading.enter()
        copy = self.stored
        self.reading.leave()
        return copy

    async def save(self, copy: RulesetCopy) -> bool:
        """As `RulesetCopies.save`."""
        await self.writing.enter()
        is_newer = self.stored is None or (copy.log_epoch, copy.version) > (self.stored.log_epoch, self.stored.version)
        if is_newer:
            self.stored = copy
            self._announce(RULESET_CHANNEL)
        self.writing.leave()
        return is_newer
