"""Caps with several pages open at once: each page exceeds the cap by at most one view, however views, clicks, notices and time mix."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.decide import Decision, Inputs, decide
from gateway.model.visitors.context_view import view
from gateway.model.visitors.state import State, absorb
from tests.support.strategies import MINUTE_MS, START_MS, VISITOR, event_at, logged

PERIOD_MINUTES = 60
PAYLOAD = {"decision": {"placement": "hero", "campaign_id": "sale"}}


@dataclass
class Page:
    """An open page: what it shows, and whether its view is counted (None: it has not been seen)."""

    shows_sale: bool
    seen_minute: int | None = None
    counted: bool = False


@dataclass
class Shop:
    """What the processors know: the views that have arrived, and their times."""

    views: list[int] = field(default_factory=list)
    dismissed: bool = False

    def context(self) -> dict[str, Any]:
        events = [event_at(minute, "BANNER_VIEWED", PAYLOAD, message_id=f"v{n}") for n, minute in enumerate(self.views)]
        if self.dismissed:
            events.append(event_at(0, "BANNER_DISMISSED", PAYLOAD, message_id="d"))
        return view(absorb(State(VISITOR), logged(events))[0])


class OpenPages(RuleBasedStateMachine):
    """A visitor with several tabs, and one campaign that is capped, forever or within an hour."""

    @initialize(limit=st.integers(1, 3), has_period=st.booleans())
    def begin(self, limit: int, has_period: bool) -> None:
        caps = f"{{views: [{{max: {limit}{f', per: {PERIOD_MINUTES} minutes' if has_period else ''}}}], stop_after_dismiss: true}}"
        sale = f"{{id: sale, placement: hero, when: 'true', caps: {caps}, banner: {{headline: Sale}}}}"
        self.ruleset = load_ruleset(f"version: 1\nplacements: {{hero: {{fallback: {{headline: Hello}}}}}}\ncampaigns:\n  - {sale}\n", 1)
        self.limit, self.period = limit, PERIOD_MINUTES if has_period else 10**9
        self.shop, self.pages, self.minute = Shop(), list[Page](), 0
        self.seen: list[int] = []
        self.most_uncounted = 0

    def decided(self, page: Page | None) -> Decision:
        shown = frozenset({"sale"}) if page is not None and page.shows_sale else frozenset[str]()
        now_ms = START_MS + self.minute * MINUTE_MS
        found = decide(self.ruleset, "hero", Inputs(self.shop.context(), None, now_ms, VISITOR, shown=shown))
        assert found.valid_until_ms is None or found.valid_until_ms > now_ms
        return found

    def within(self, views: list[int], at: int) -> int:
        return sum(1 for minute in views if at - self.period < minute <= at)

    def page(self, number: int) -> Page | None:
        return self.pages[number % len(self.pages)] if self.pages else None

    @rule()
    def a_page_is_opened(self) -> None:
        """It gets the sale exactly if the views that have arrived do not reach the cap."""
        found = self.decided(None).campaign_id == "sale"
        assert found == (self.within(self.shop.views, self.minute) < self.limit and not self.shop.dismissed)
        self.pages.append(Page(found))

    @rule(number=st.integers(0, 9))
    def a_page_is_looked_at(self, number: int) -> None:
        """Once a page, as the snippet reports it."""
        page = self.page(number)
        if page is not None and page.shows_sale and page.seen_minute is None:
            page.seen_minute = self.minute
            self.seen.append(self.minute)

    @rule(number=st.integers(0, 9))
    def a_view_arrives(self, number: int) -> None:
        """Late, and in any order."""
        page = self.page(number)
        if page is not None and page.seen_minute is not None and not page.counted:
            page.counted = True
            self.shop.views.append(page.seen_minute)

    @rule(number=st.integers(0, 9))
    def a_notice_reaches_a_page(self, number: int) -> None:
        """What it shows stays; a page without the sale gets it when the cap is no longer reached."""
        page = self.page(number)
        if page is None:
            return
        found = self.decided(page).campaign_id == "sale"
        assert not page.shows_sale or found
        page.shows_sale = found

    @rule(number=st.integers(0, 9))
    def a_page_is_closed(self, number: int) -> None:
        """Its view may still be on its way; that it was seen stays true."""
        page = self.page(number)
        if page is not None and (page.counted or page.seen_minute is None):
            self.pages.remove(page)

    @rule()
    def it_is_dismissed(self) -> None:
        """From then on no new page gets it."""
        self.shop.dismissed = True

    @rule(minutes=st.integers(1, 45))
    def time_passes(self, minutes: int) -> None:
        self.minute += minutes

    @invariant()
    def nobody_is_more_than_a_view_a_page_over(self) -> None:
        """Beyond the cap there are only views of pages that had the sale before it was reached."""
        if not hasattr(self, "shop"):
            return
        waiting = sum(1 for page in self.pages if page.shows_sale and not page.counted)
        self.most_uncounted = max(self.most_uncounted, waiting)
        over = max((self.within(self.seen, minute) for minute in self.seen), default=0) - self.limit
        assert over <= self.most_uncounted - 1


TestOpenPages = OpenPages.TestCase
TestOpenPages.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, print_blob=True)
