"""The answers of the schema."""

from __future__ import annotations

from enum import Enum

import strawberry

from gateway.api.scalars import JSON, Cursor, DateTime, Decimal
from gateway.errors import Forbidden
from gateway.model.decide import DecisionReason as Reason


@strawberry.type(description="A visitor that was just started, or renewed.")
class Visit:
    """Answer of `startVisit`."""

    anonymous_id: strawberry.ID
    token: str = strawberry.field(description="The visitor's signed token; send it as `Authorization: Bearer …`.")
    expires_at: DateTime
    server_time: DateTime = strawberry.field(description="The gateway's clock, so that a client can learn its own clock's offset.")


@strawberry.enum(description="What became of an event.")
class EventStatus(Enum):
    """What became of an event."""

    ACCEPTED = strawberry.enum_value("ACCEPTED", description="All in-sync replicas of the event log have it.")
    REJECTED = strawberry.enum_value("REJECTED", description="Nothing was written; `error` says what to correct.")
    UNKNOWN = strawberry.enum_value("UNKNOWN", description="The deadline passed; sending the same messageId again is safe.")


@strawberry.type(description="Why an event was rejected.")
class EventError:
    """Why an event was rejected."""

    code: str
    message: str = strawberry.field(description="What is wrong and what to do.")
    field: str | None = strawberry.field(default=None, description="The field of EventInput it is about, as a path.")


@strawberry.type(description="The answer to one event.")
class EventResult:
    """The answer to one event."""

    message_id: strawberry.ID
    status: EventStatus
    error: EventError | None = None


@strawberry.enum(description="Why this banner. A client treats a value it does not know as DEFAULT.")
class DecisionReason(Enum):
    """Why this banner."""

    SPLIT = strawberry.enum_value(Reason.SPLIT.value, description="As TARGETING_MATCH, in the variant that the visitor is drawn for.")
    HOLDOUT = strawberry.enum_value(
        Reason.HOLDOUT.value, description="The visitor is held out of the campaign: the fallback; BANNER_VIEWED counts it all the same."
    )
    TARGETING_MATCH = strawberry.enum_value(Reason.TARGETING_MATCH.value, description="A campaign's condition is true.")
    DEFAULT = strawberry.enum_value(Reason.DEFAULT.value, description="No campaign applies: the placement's fallback.")
    NO_CONSENT = strawberry.enum_value(Reason.NO_CONSENT.value, description="The visitor does not want personalization.")
    PREVIEW = strawberry.enum_value(
        Reason.PREVIEW.value, description="Shown for a preview token: never counted, its BANNER_* events are rejected."
    )
    UNKNOWN_PLACEMENT = strawberry.enum_value(
        Reason.UNKNOWN_PLACEMENT.value, description="The ruleset has no such placement: the page keeps its own content."
    )
    UNAVAILABLE = strawberry.enum_value(Reason.UNAVAILABLE.value, description="The context cannot be read now: the fallback.")


@strawberry.type(description="An image; width and height in CSS pixels reserve its place.")
class Image:
    """An image."""

    url: str
    alt: str
    width: int | None = None
    height: int | None = None


@strawberry.type(description="A product beside a banner.")
class RelatedProduct:
    """A product beside a banner, as far as the events tell of it."""

    product_id: strawberry.ID
    category: str | None = None


@strawberry.type(description="A banner, its texts filled in. Texts are plain text, links are http(s) or relative.")
class Banner:
    """A banner."""

    id: strawberry.ID = strawberry.field(description="Hash of the rendered content: equal ids, equal fields.")
    headline: str
    body: str | None = None
    link_url: str | None = None
    cta_label: str | None = None
    image: Image | None = None
    locale: str | None = None
    products: list[RelatedProduct] = strawberry.field(description="Related products by the campaign's rule.")
    data: JSON | None = None


@strawberry.type(description="The banner for a visitor at a placement.")
class BannerDecision:
    """The banner for a visitor at a placement."""

    id: strawberry.ID = strawberry.field(description="Signed and self-describing; names this decision in BANNER_* events and `shown`.")
    placement: strawberry.ID
    banner: Banner | None = strawberry.field(description="null: the page keeps its own default content.")
    reason: DecisionReason
    campaign_id: strawberry.ID | None
    variant: str | None
    ruleset_version: int = strawberry.field(description="0: a preview of a ruleset that is not published.")
    context_version: int
    cursor: Cursor = strawberry.field(description="How much of the log this decision has seen.")
    fresh: bool = strawberry.field(description="false: `after` was not reached within maxWaitMs, or the context store is unreachable.")
    decided_at: DateTime
    valid_until: DateTime | None = strawberry.field(description="When a schedule could change it without an event.")


@strawberry.type(description="A category and how much it interests the visitor.")
class Interest:
    """A category and its score, as of the visitor's latest event."""

    category: str
    score: float


@strawberry.type(description="An exact amount.")
class Money:
    """An exact amount in a currency (ISO 4217)."""

    amount: Decimal
    currency: str


@strawberry.type(description="One line of the cart.")
class CartItem:
    """One line of the cart; `price` is per piece."""

    product_id: strawberry.ID
    variant_id: strawberry.ID | None
    category: str | None
    quantity: int
    price: Money | None


@strawberry.type(description="What the visitor bought; amounts per currency, refunds taken off.")
class Purchases:
    """What the visitor bought."""

    count: int
    totals: list[Money]
    last_at: DateTime | None


@strawberry.type(description="The strictest of what the visitor answered; null: never asked.")
class Consent:
    """Consent."""

    personalization: bool | None
    measurement: bool | None


@strawberry.type(description="What is known of a visitor now.")
class UserContext:
    """What is known of a visitor now."""

    user_id: strawberry.ID
    interested_category: str | None
    interests: list[Interest] = strawberry.field(description="Strongest first.")
    cart: list[CartItem]
    recent_products: list[strawberry.ID] = strawberry.field(description="Newest first.")
    purchases: Purchases
    consent: Consent
    updated_at: DateTime | None
    version: int = strawberry.field(description="Counts the distinct messages absorbed.")
    cursor: Cursor
    private_traits: strawberry.Private[object]
    may_see_traits: strawberry.Private[bool]

    @strawberry.field(description="Traits that identify gave; with a secret key only.")
    def traits(self) -> JSON | None:
        """Traits, for a secret key; others get FORBIDDEN for this field alone."""
        if not self.may_see_traits:
            raise Forbidden("traits need a secret key")
        return JSON(self.private_traits)
