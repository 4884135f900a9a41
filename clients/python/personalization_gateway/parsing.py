"""From the gateway's JSON to values. JSON that does not have the form of the API is a `NoAnswer`, never half a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar

from personalization_gateway.answers import (
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
from personalization_gateway.errors import NoAnswer

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class JsonObject:
    """Reads the fields of one JSON object. Each method raises `NoAnswer` if the field has another type."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, Mapping):
            raise NoAnswer("unusable answer", "an object was expected")
        self._fields: Mapping[str, Any] = value

    def string(self, name: str) -> str:
        """A string."""
        text: str = self._typed(name, str)
        return text

    def string_or_none(self, name: str) -> str | None:
        """A string or null."""
        return self.optional(name, self.string)

    def integer(self, name: str) -> int:
        """An integer."""
        number: int = self._typed(name, int)
        return number

    def integer_or_none(self, name: str) -> int | None:
        """An integer or null."""
        return self.optional(name, self.integer)

    def number(self, name: str) -> float:
        """A number."""
        return float(self._typed(name, int, float))

    def boolean(self, name: str) -> bool:
        """true or false."""
        flag: bool = self._typed(name, bool)
        return flag

    def boolean_or_none(self, name: str) -> bool | None:
        """true, false or null."""
        return self.optional(name, self.boolean)

    def decimal(self, name: str) -> Decimal:
        """An exact number, sent as a string."""
        try:
            return Decimal(self.string(name))
        except InvalidOperation:
            raise _unexpected_form(name) from None

    def time(self, name: str) -> datetime:
        """An RFC 3339 time with its offset."""
        try:
            moment = datetime.fromisoformat(self.string(name))
        except ValueError:
            raise _unexpected_form(name) from None
        if moment.tzinfo is None:
            raise _unexpected_form(name)
        return moment

    def time_or_none(self, name: str) -> datetime | None:
        """An RFC 3339 time or null."""
        return self.optional(name, self.time)

    def value(self, name: str) -> object:
        """Any JSON value; None if the field is missing."""
        return self._fields.get(name)

    def object_or_none(self, name: str, parse: Callable[[object], T]) -> T | None:
        """An object or null."""
        value = self._fields.get(name)
        return None if value is None else parse(value)

    def items(self, name: str, parse: Callable[[object], T]) -> tuple[T, ...]:
        """A list."""
        return tuple(parse(item) for item in self._typed(name, list))

    def enum(self, name: str, kind: type[E], fallback: E) -> E:
        """A value of an enum; `fallback` if the value is not known here."""
        text = self.string(name)
        return kind(text) if text in list(kind) else fallback

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """What `read` returns for the field, or None if it is null or missing."""
        return None if self._fields.get(name) is None else read(name)

    def _typed(self, name: str, *types: type) -> Any:
        value = self._fields.get(name)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise _unexpected_form(name)
        return value


def decision(value: object, *, is_personal: bool) -> Decision:
    """A `BannerDecision`."""
    fields = JsonObject(value)
    reason = fields.enum("reason", DecisionReason, DecisionReason.DEFAULT)
    return Decision(
        id=fields.string("id"),
        placement=fields.string("placement"),
        banner=fields.object_or_none("banner", banner),
        reason=reason,
        campaign_id=fields.string_or_none("campaignId"),
        variant=fields.string_or_none("variant"),
        ruleset_version=fields.integer("rulesetVersion"),
        context_version=fields.integer("contextVersion"),
        cursor=fields.string("cursor"),
        fresh=fields.boolean("fresh"),
        decided_at=fields.time("decidedAt"),
        valid_until=fields.time_or_none("validUntil"),
        is_personal=is_personal or reason is DecisionReason.PREVIEW,
    )


def banner(value: object) -> Banner:
    """A `Banner`."""
    fields = JsonObject(value)
    return Banner(
        id=fields.string("id"),
        headline=fields.string("headline"),
        body=fields.string_or_none("body"),
        link_url=fields.string_or_none("linkUrl"),
        cta_label=fields.string_or_none("ctaLabel"),
        image=fields.object_or_none("image", _image),
        locale=fields.string_or_none("locale"),
        products=fields.items("products", _product),
        data=fields.value("data"),
    )


def started_visit(value: object) -> StartedVisit:
    """A `Visit`."""
    fields = JsonObject(value)
    return StartedVisit(fields.string("anonymousId"), fields.string("token"), fields.time("expiresAt"), fields.time("serverTime"))


def track_result(value: object, *, is_personal: bool) -> TrackResult:
    """A `TrackResult`; its decisions are missing if they were not requested."""
    fields = JsonObject(value)
    return TrackResult(
        fields.items("results", _event_result),
        fields.string_or_none("cursor"),
        fields.time("serverTime"),
        fields.optional("decisions", lambda name: fields.items(name, lambda item: decision(item, is_personal=is_personal))) or (),
    )


def user_context(value: object) -> UserContext:
    """A `UserContext`."""
    fields = JsonObject(value)
    purchases, consent = JsonObject(fields.value("purchases")), JsonObject(fields.value("consent"))
    traits = fields.value("traits")
    return UserContext(
        user_id=fields.string("userId"),
        interested_category=fields.string_or_none("interestedCategory"),
        interests=fields.items("interests", _interest),
        cart=fields.items("cart", _cart_item),
        recent_products=fields.items("recentProducts", str),
        purchases=Purchases(purchases.integer("count"), purchases.items("totals", _money), purchases.time_or_none("lastAt")),
        consent=Consent(consent.boolean_or_none("personalization"), consent.boolean_or_none("measurement")),
        updated_at=fields.time_or_none("updatedAt"),
        version=fields.integer("version"),
        cursor=fields.string("cursor"),
        traits=traits if isinstance(traits, Mapping) else {},
    )


def explanation(value: object) -> Explanation:
    """An `Explanation`."""
    fields = JsonObject(value)
    return Explanation(
        decision(fields.value("decision"), is_personal=True),
        fields.items("steps", _step),
        fields.items("evidence", _evidence),
        fields.items("notes", str),
    )


def _step(value: object) -> Step:
    fields = JsonObject(value)
    return Step(fields.string("campaignId"), fields.enum("outcome", StepOutcome, StepOutcome.CONDITION_FALSE), fields.string("detail"))


def _evidence(value: object) -> Evidence:
    fields = JsonObject(value)
    return Evidence(
        fields.string("field"),
        fields.string("topic"),
        fields.integer("partition"),
        fields.string("offset"),
        fields.string_or_none("messageId"),
        fields.time_or_none("occurredAt"),
    )


def _event_result(value: object) -> EventResult:
    fields = JsonObject(value)
    return EventResult(
        fields.string("messageId"), fields.enum("status", EventStatus, EventStatus.UNKNOWN), fields.object_or_none("error", _event_error)
    )


def _event_error(value: object) -> EventError:
    fields = JsonObject(value)
    return EventError(fields.string("code"), fields.string("message"), fields.string_or_none("field"))


def _image(value: object) -> Image:
    fields = JsonObject(value)
    return Image(fields.string("url"), fields.string("alt"), fields.integer_or_none("width"), fields.integer_or_none("height"))


def _product(value: object) -> Product:
    fields = JsonObject(value)
    return Product(fields.string("productId"), fields.string_or_none("category"))


def _interest(value: object) -> Interest:
    fields = JsonObject(value)
    return Interest(fields.string("category"), fields.number("score"))


def _money(value: object) -> Money:
    fields = JsonObject(value)
    return Money(fields.decimal("amount"), fields.string("currency"))


def _cart_item(value: object) -> CartItem:
    fields = JsonObject(value)
    return CartItem(
        fields.string("productId"),
        fields.string_or_none("variantId"),
        fields.string_or_none("category"),
        fields.integer("quantity"),
        fields.object_or_none("price", _money),
    )


def _unexpected_form(name: str) -> NoAnswer:
    return NoAnswer("unusable answer", f"{name} has an unexpected form")
