"""What the tests of banners share: a ruleset, requests, and pages that are open. Time is virtual."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

from gateway.model.decisions.preview_token import ActivePreview
from gateway.model.events.contribution import Position
from gateway.model.events.cursor import cursor_of
from gateway.services.banners import BannerRequest, IssuedDecision
from gateway.store.keys import RULESET_CHANNEL, TRENDS_CHANNEL
from tests.support.memory.gateway import LOG_EPOCH, MemoryGateway
from tests.support.virtual_time import START_MS, now_ms

VISITOR: Final = "v1"
ANONYMOUS: Final = "anon_1"
AT_ONCE_SECONDS: Final = 0.001
"""Long enough for everything that waits for no timer."""


BROKEN: Final = "- {id: broken, placement: hero, priority: 9, when: 'traits.level > 3', banner: {headline: Never}}\n"
"""A campaign whose condition fails while running."""


def rules(hero: str = "Welcome", extra: str = "") -> str:
    """Deals on what the visitor is interested in at `hero`; `side` is the same for everyone. `extra`: more campaigns."""
    return f"""version: 1
placements: {{hero: {{fallback: {{headline: '{hero}'}}}}, side: {{fallback: {{headline: Aside}}}}}}
campaigns:
- {{id: interest, placement: hero, when: 'interested_category != ""', banner: {{headline: 'Deals on {{interested_category}}'}}}}
{extra}"""


def request(visitor_id: str | None = VISITOR, *placements: str, preview: ActivePreview | None = None) -> BannerRequest:
    """A request for `hero`, or for other placements."""
    return BannerRequest(visitor_id, placements or ("hero",), None, preview)


def after(offset: int) -> str:
    """The cursor of the event with this offset, issued now."""
    return cursor_of([Position("user_actions", 0, offset)], LOG_EPOCH, now_ms()).encode()


def headline(issued: IssuedDecision) -> str | None:
    """What the page shows."""
    return issued.decision.banner.headline if issued.decision.banner else None


def headlines(issued: Iterable[IssuedDecision]) -> list[str | None]:
    """What the pages show."""
    return [headline(decision) for decision in issued]


def seconds_of(issued: IssuedDecision) -> float:
    """When it was decided, in seconds since the start of the test."""
    return (issued.decided_at_ms - START_MS) / 1000


def watched(gateway: MemoryGateway) -> frozenset[str]:
    """The channels of visitors that somebody listens to."""
    return gateway.notices.channels - {RULESET_CHANNEL, TRENDS_CHANNEL}


@contextlib.asynccontextmanager
async def opened(gateway: MemoryGateway, request: BannerRequest, shown: Sequence[str] = ()) -> AsyncIterator[list[IssuedDecision]]:
    """An open page, as the list of what it was sent so far; its first decisions are there already."""
    received: list[IssuedDecision] = []

    async def follow() -> None:
        async for issued in gateway.banners.changes(request, shown):
            received.append(issued)  # noqa: PERF401  # one by one: the test looks at the list in between

    following = asyncio.create_task(follow())
    try:
        await asyncio.sleep(AT_ONCE_SECONDS)
        yield received
    finally:
        following.cancel()
        await asyncio.wait([following])
