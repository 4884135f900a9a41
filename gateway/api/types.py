"""The answers of the schema."""

from __future__ import annotations

from enum import Enum

import strawberry

from gateway.api.scalars import CursorScalar, DateTimeScalar, DecimalScalar, JSONScalar
from gateway.errors import Forbidden
from gateway.model.decisions.decide import DecisionReason as Reason


@strawberry.type(name="Visit", description="A visitor that was just started, or renewed.")
class VisitType:
    """Answer of `startVisit`."""

    anonymous_id: strawberry.ID = strawberry.field(description="The visitor's id until it is known: `anon_…`.")
    token: str = strawberry.field(description="The visitor's signed token; send it as `Authorization: Bearer …`.")
    expires_at: DateTimeScalar = strawberry.field(
        description="When the token ends; until then, and some time after, `startVisit(token:)` renews it."
    )
    server_time: DateTimeScalar = strawberry.field(description="The gateway's clock, so that a client can learn its own clock's offset.")


@strawberry.enum(name="EventStatus", description="What became of an event.")
class EventStatusEnum(Enum):
    """What became of an event."""

    ACCEPTED = strawberry.enum_value("ACCEPTED", description="All in-sync replicas of the event log have it.")
    REJECTED = strawberry.enum_value("REJECTED", description="Nothing was written; `error` says what to correct.")
    UNKNOWN = strawberry.enum_value("UNKNOWN", description="The deadline passed; sending the same messageId again is safe.")


@strawberry.type(name="EventError", description="Why an event was rejected.")
class EventErrorType:
    """Why an event was rejected."""

    code: str = strawberry.field(
        description="REQUIRED, INVALID_VALUE, TOO_LARGE, TIMESTAMP_AHEAD and others; treat a new one as INVALID_VALUE."
    )
    message: str = strawberry.field(description="What is wrong and what to do.")
    field: str | None = strawberry.field(default=None, description="The field of EventInput it is about, as a path.")


@strawberry.type(name="EventResult", description="The answer to one event.")
class EventResultType:
    """The answer to one event."""

    message_id: strawberry.ID = strawberry.field(description="Of the event that is answered.")
    status: EventStatusEnum = strawberry.field(description="What became of it.")
    error: EventErrorType | None = strawberry.field(default=None, description="Why it was rejected; else null.")


@strawberry.enum(name="DecisionReason", description="Why this banner. A client treats a value it does not know as DEFAULT.")
class DecisionReasonEnum(Enum):
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


@strawberry.type(name="Image", description="An image; width and height in CSS pixels reserve its place.")
class ImageType:
    """An image."""

    url: str = strawberry.field(description="http(s) or relative.")
    alt: str = strawberry.field(description="What it shows, in words; plain text.")
    width: int | None = strawberry.field(default=None, description="In CSS pixels.")
    height: int | None = strawberry.field(default=None, description="In CSS pixels.")


@strawberry.type(name="RelatedProduct", description="A product beside a banner.")
class RelatedProductType:
    """A product beside a banner, as far as the events tell of it."""

    product_id: strawberry.ID = strawberry.field(description="The shop's own id of the product.")
    category: str | None = strawberry.field(default=None, description="Its category, as the events told it.")


@strawberry.type(name="Banner", description="A banner, its texts filled in. Texts are plain text, links are http(s) or relative.")
class BannerType:
    """A banner."""

    id: strawberry.ID = strawberry.field(description="Hash of the rendered content: equal ids, equal fields.")
    headline: str = strawberry.field(description="Plain text: escape it for HTML.")
    body: str | None = strawberry.field(default=None, description="Plain text below the headline.")
    link_url: str | None = strawberry.field(default=None, description="Where the banner leads: http(s) or relative.")
    cta_label: str | None = strawberry.field(default=None, description="Plain text of the button.")
    image: ImageType | None = strawberry.field(default=None, description="The image, where the banner has one.")
    locale: str | None = strawberry.field(
        default=None, description="The language of its texts, such as de-CH, where the ruleset names one."
    )
    products: list[RelatedProductType] = strawberry.field(description="Related products by the campaign's rule.")
    data: JSONScalar | None = strawberry.field(default=None, description="Free data of the ruleset for the page's own use.")


@strawberry.type(name="BannerDecision", description="The banner for a visitor at a placement.")
class BannerDecisionType:
    """The banner for a visitor at a placement."""

    id: strawberry.ID = strawberry.field(description="Signed and self-describing; names this decision in BANNER_* events and `shown`.")
    placement: strawberry.ID = strawberry.field(description="The place it was asked for.")
    banner: BannerType | None = strawberry.field(description="null: the page keeps its own default content.")
    reason: DecisionReasonEnum = strawberry.field(description="Why it is this banner.")
    campaign_id: strawberry.ID | None = strawberry.field(description="The campaign that decided, a holdout's too; null for the fallback.")
    variant: str | None = strawberry.field(description="The variant the visitor is drawn for, where the campaign is split.")
    ruleset_version: int = strawberry.field(description="0: a preview of a ruleset that is not published.")
    context_version: int = strawberry.field(description="The version of the context it was decided by; 0: nothing was known.")
    cursor: CursorScalar = strawberry.field(description="How much of the log this decision has seen.")
    fresh: bool = strawberry.field(description="false: `after` was not reached within maxWaitMs, or the context store is unreachable.")
    decided_at: DateTimeScalar = strawberry.field(description="When it was decided, by the gateway's clock.")
    valid_until: DateTimeScalar | None = strawberry.field(description="When a schedule could change it without an event.")


@strawberry.type(name="Interest", description="A category and how much it interests the visitor.")
class InterestType:
    """A category and its score, as of the visitor's latest event."""

    category: str = strawberry.field(description="As the events name it.")
    score: float = strawberry.field(
        description="Above 0, as of the latest event; halves in 24 hours. Compare the scores of one visitor: their ratio does not decay."
    )


@strawberry.type(name="Money", description="An exact amount.")
class MoneyType:
    """An exact amount in a currency (ISO 4217)."""

    amount: DecimalScalar = strawberry.field(description="Exact, in units of the currency: 19.90, not cents.")
    currency: str = strawberry.field(description="ISO 4217, such as EUR.")


@strawberry.type(name="CartItem", description="One line of the cart.")
class CartItemType:
    """One line of the cart; `price` is per piece."""

    product_id: strawberry.ID = strawberry.field(description="The shop's own id of the product.")
    variant_id: strawberry.ID | None = strawberry.field(description="Which of its variants; null: it has none, or it was not told.")
    category: str | None = strawberry.field(description="Its category, as the events told it.")
    quantity: int = strawberry.field(description="Pieces, 1 or more.")
    price: MoneyType | None = strawberry.field(description="Per piece; null: it was not told.")


@strawberry.type(name="Purchases", description="What the visitor bought; amounts per currency, refunds taken off.")
class PurchasesType:
    """What the visitor bought."""

    count: int = strawberry.field(description="Orders, each counted once per order id.")
    totals: list[MoneyType] = strawberry.field(description="What was paid, one amount for each currency.")
    last_at: DateTimeScalar | None = strawberry.field(description="When the latest order was; null without one.")


@strawberry.type(name="Consent", description="The strictest of what the visitor answered; null: never asked.")
class ConsentType:
    """Consent."""

    personalization: bool | None = strawberry.field(description="Banners by what the visitor does.")
    measurement: bool | None = strawberry.field(description="Counted in campaign statistics.")


@strawberry.type(name="UserContext", description="What is known of a visitor now.")
class UserContextType:
    """What is known of a visitor now."""

    user_id: strawberry.ID = strawberry.field(description="The visitor; of an anonymous id that joined, the known visitor.")
    interested_category: str | None = strawberry.field(description="Category of the latest event that shows intent.")
    interests: list[InterestType] = strawberry.field(description="Strongest first, at most 50.")
    cart: list[CartItemType] = strawberry.field(description="In the order the products came, at most 100 lines.")
    recent_products: list[strawberry.ID] = strawberry.field(
        description="Product ids of the latest product and order events, newest first, each once, at most 50."
    )
    purchases: PurchasesType = strawberry.field(description="What was bought, all orders together.")
    consent: ConsentType = strawberry.field(description="What the visitor allows.")
    updated_at: DateTimeScalar | None = strawberry.field(description="The time of the latest event; null when there was none.")
    version: int = strawberry.field(description="Counts the distinct messages absorbed.")
    cursor: CursorScalar = strawberry.field(description="How much of the log this has seen.")
    private_traits: strawberry.Private[object]
    may_see_traits: strawberry.Private[bool]

    @strawberry.field(description="Traits that identify gave; with a secret key only.")
    def traits(self) -> JSONScalar | None:
        """Traits, for a secret key; others get FORBIDDEN for this field alone."""
        if not self.may_see_traits:
            raise Forbidden("traits need a secret key")
        return JSONScalar(self.private_traits)
