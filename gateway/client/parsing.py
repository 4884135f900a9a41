"""From the gateway's JSON to values. What has another form than the API's is a `NoAnswer`, never half a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar

from gateway.client.answers import (
    Banner,
    CartItem,
    Consent,
    Decision,
    DecisionReason,
    EventError,
    EventResult,
    EventStatus,
    Evidence,
    Explanation,
    Image,
    Interest,
    Money,
    Product,
    Purchases,
    StartedVisit,
    Step,
    StepOutcome,
    TrackResult,
    UserContext,
)
from gateway.client.errors import NoAnswer

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class Fields:
    """The fields of one JSON object. A method raises `NoAnswer` when the field has another type."""

    def __init__(self, found: object) -> None:
        if not isinstance(found, Mapping):
            raise NoAnswer("unusable answer", "an object was expected")
        self._found: Mapping[str, Any] = found

    def text(self, name: str) -> str:
        """A text."""
        found: str = self._of(name, str)
        return found

    def text_or_none(self, name: str) -> str | None:
        """A text or null."""
        return self.maybe(name, self.text)

    def number(self, name: str) -> int:
        """A whole number."""
        found: int = self._of(name, int)
        return found

    def number_or_none(self, name: str) -> int | None:
        """A whole number or null."""
        return self.maybe(name, self.number)

    def amount(self, name: str) -> float:
        """A number."""
        return float(self._of(name, int, float))

    def truth(self, name: str) -> bool:
        """true or false."""
        found: bool = self._of(name, bool)
        return found

    def truth_or_none(self, name: str) -> bool | None:
        """true, false or null."""
        return self.maybe(name, self.truth)

    def exact(self, name: str) -> Decimal:
        """An exact number, as a text."""
        try:
            return Decimal(self.text(name))
        except InvalidOperation:
            raise _another_form(name) from None

    def moment(self, name: str) -> datetime:
        """An RFC 3339 time with its offset."""
        try:
            found = datetime.fromisoformat(self.text(name))
        except ValueError:
            raise _another_form(name) from None
        if found.tzinfo is None:
            raise _another_form(name)
        return found

    def moment_or_none(self, name: str) -> datetime | None:
        """An RFC 3339 time or null."""
        return self.maybe(name, self.moment)

    def any(self, name: str) -> object:
        """Any JSON value; null where there is none."""
        return self._found.get(name)

    def one(self, name: str, parse: Callable[[object], T]) -> T | None:
        """An object or null."""
        found = self._found.get(name)
        return None if found is None else parse(found)

    def many(self, name: str, parse: Callable[[object], T]) -> tuple[T, ...]:
        """A list."""
        return tuple(parse(found) for found in self._of(name, list))

    def word(self, name: str, kind: type[E], general: E) -> E:
        """A value of an enum; one that is not known is the most general one."""
        found = self.text(name)
        return kind(found) if found in list(kind) else general

    def maybe(self, name: str, read: Callable[[str], T]) -> T | None:
        """What `read` gives of the field, or None when it is null or missing."""
        return None if self._found.get(name) is None else read(name)

    def _of(self, name: str, *types: type) -> Any:
        found = self._found.get(name)
        if not isinstance(found, types) or (isinstance(found, bool) and bool not in types):
            raise _another_form(name)
        return found


def decision(found: object, *, is_personal: bool) -> Decision:
    """A `BannerDecision`."""
    fields = Fields(found)
    reason = fields.word("reason", DecisionReason, DecisionReason.DEFAULT)
    return Decision(
        id=fields.text("id"),
        placement=fields.text("placement"),
        banner=fields.one("banner", banner),
        reason=reason,
        campaign_id=fields.text_or_none("campaignId"),
        variant=fields.text_or_none("variant"),
        ruleset_version=fields.number("rulesetVersion"),
        context_version=fields.number("contextVersion"),
        cursor=fields.text("cursor"),
        fresh=fields.truth("fresh"),
        decided_at=fields.moment("decidedAt"),
        valid_until=fields.moment_or_none("validUntil"),
        is_personal=is_personal or reason is DecisionReason.PREVIEW,
    )


def banner(found: object) -> Banner:
    """A `Banner`."""
    fields = Fields(found)
    return Banner(
        id=fields.text("id"),
        headline=fields.text("headline"),
        body=fields.text_or_none("body"),
        link_url=fields.text_or_none("linkUrl"),
        cta_label=fields.text_or_none("ctaLabel"),
        image=fields.one("image", _image),
        locale=fields.text_or_none("locale"),
        products=fields.many("products", _product),
        data=fields.any("data"),
    )


def started_visit(found: object) -> StartedVisit:
    """A `Visit`."""
    fields = Fields(found)
    return StartedVisit(fields.text("anonymousId"), fields.text("token"), fields.moment("expiresAt"), fields.moment("serverTime"))


def track_result(found: object, *, is_personal: bool) -> TrackResult:
    """A `TrackResult`; its decisions are missing where they were not asked for."""
    fields = Fields(found)
    return TrackResult(
        fields.many("results", _event_result),
        fields.text_or_none("cursor"),
        fields.moment("serverTime"),
        fields.maybe("decisions", lambda name: fields.many(name, lambda one: decision(one, is_personal=is_personal))) or (),
    )


def user_context(found: object) -> UserContext:
    """A `UserContext`."""
    fields = Fields(found)
    purchases, consent = Fields(fields.any("purchases")), Fields(fields.any("consent"))
    traits = fields.any("traits")
    return UserContext(
        user_id=fields.text("userId"),
        interested_category=fields.text_or_none("interestedCategory"),
        interests=fields.many("interests", _interest),
        cart=fields.many("cart", _cart_item),
        recent_products=fields.many("recentProducts", str),
        purchases=Purchases(purchases.number("count"), purchases.many("totals", _money), purchases.moment_or_none("lastAt")),
        consent=Consent(consent.truth_or_none("personalization"), consent.truth_or_none("measurement")),
        updated_at=fields.moment_or_none("updatedAt"),
        version=fields.number("version"),
        cursor=fields.text("cursor"),
        traits=traits if isinstance(traits, Mapping) else {},
    )


def explanation(found: object) -> Explanation:
    """An `Explanation`."""
    fields = Fields(found)
    return Explanation(
        decision(fields.any("decision"), is_personal=True),
        fields.many("steps", _step),
        fields.many("evidence", _evidence),
        fields.many("notes", str),
    )


def _step(found: object) -> Step:
    fields = Fields(found)
    return Step(fields.text("campaignId"), fields.word("outcome", StepOutcome, StepOutcome.CONDITION_FALSE), fields.text("detail"))


def _evidence(found: object) -> Evidence:
    fields = Fields(found)
    return Evidence(
        fields.text("field"),
        fields.text("topic"),
        fields.number("partition"),
        fields.text("offset"),
        fields.text_or_none("messageId"),
        fields.moment_or_none("occurredAt"),
    )


def _event_result(found: object) -> EventResult:
    fields = Fields(found)
    return EventResult(fields.text("messageId"), fields.word("status", EventStatus, EventStatus.UNKNOWN), fields.one("error", _event_error))


def _event_error(found: object) -> EventError:
    fields = Fields(found)
    return EventError(fields.text("code"), fields.text("message"), fields.text_or_none("field"))


def _image(found: object) -> Image:
    fields = Fields(found)
    return Image(fields.text("url"), fields.text("alt"), fields.number_or_none("width"), fields.number_or_none("height"))


def _product(found: object) -> Product:
    fields = Fields(found)
    return Product(fields.text("productId"), fields.text_or_none("category"))


def _interest(found: object) -> Interest:
    fields = Fields(found)
    return Interest(fields.text("category"), fields.amount("score"))


def _money(found: object) -> Money:
    fields = Fields(found)
    return Money(fields.exact("amount"), fields.text("currency"))


def _cart_item(found: object) -> CartItem:
    fields = Fields(found)
    return CartItem(
        fields.text("productId"),
        fields.text_or_none("variantId"),
        fields.text_or_none("category"),
        fields.number("quantity"),
        fields.one("price", _money),
    )


def _another_form(name: str) -> NoAnswer:
    return NoAnswer("unusable answer", f"{name} has another form")
