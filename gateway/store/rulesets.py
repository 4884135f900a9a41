"""The copy of the latest ruleset in Redis: a gateway starts from it while Kafka is away, and is notified of a newer one.

A write compares first: an older copy never replaces a newer one. Newer means a later log epoch (the topics were re-created, and
versions count from 1 again), or a higher version within the same epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from gateway.model.rulesets.versions import CURRENT_FORMAT
from gateway.store.connection import store_errors_as
from gateway.store.keys import RULESET_CHANNEL, RULESET_KEY

# KEYS: copy, channel. ARGV: log epoch, version, copy.
_SAVE: Final = """
local stored = redis.call('GET', KEYS[1])
if stored then
  local good, old = pcall(cjson.decode, stored)
  if good and type(old) == 'table' and type(old.version) == 'number' and type(old.log_epoch) == 'number' then
    local epoch, version = tonumber(ARGV[1]), tonumber(ARGV[2])
    if old.log_epoch > epoch or (old.log_epoch == epoch and old.version >= version) then return 0 end
  end
end
redis.call('SET', KEYS[1], ARGV[3])
redis.call('SPUBLISH', KEYS[2], ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class RulesetCopy:
    """A version of the ruleset, and the log epoch that its number belongs to."""

    log_epoch: int
    version: int
    yaml: str
    published_at_ms: int
    text_format: int = CURRENT_FORMAT
    """How the YAML is to be read (`gateway.model.rulesets.versions`)."""


class RulesetStore:
    """Reads and writes the copy. Every method raises `StoreUnavailable` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def load(self) -> RulesetCopy | None:
        """The copy; None: there is none, or it cannot be decoded."""
        with store_errors_as("the copy of the ruleset cannot be read"):
            stored = await self._redis.get(RULESET_KEY)
        return None if stored is None else _decode(stored)

    async def save(self, copy: RulesetCopy) -> bool:
        """Store a copy and announce it, unless the stored one is as new. Returns whether it was stored."""
        value = orjson.dumps(
            {
                "log_epoch": copy.log_epoch,
                "version": copy.version,
                "format": copy.text_format,
                "yaml": copy.yaml,
                "published_at_ms": copy.published_at_ms,
            }
        )
        call: Any = self._redis.eval
        with store_errors_as("the copy of the ruleset cannot be written"):
            answer = await call(_SAVE, 2, RULESET_KEY, RULESET_CHANNEL, copy.log_epoch, copy.version, value)
        return bool(answer == 1)


def _decode(stored: bytes | str) -> RulesetCopy | None:
    try:
        fields = orjson.loads(stored)
        copy = RulesetCopy(fields["log_epoch"], fields["version"], fields["yaml"], fields["published_at_ms"], fields.get("format", 1))
    except (ValueError, KeyError, TypeError):
        return None
    numbers = (copy.log_epoch, copy.version, copy.published_at_ms, copy.text_format)
    return copy if all(isinstance(number, int) for number in numbers) and isinstance(copy.yaml, str) else None
