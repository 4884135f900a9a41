"""The object types of the schema that pages and servers use: visits, event results, decisions, contexts.

Their Python names end in Type or Enum, so that none is mistaken for the model's type of the same thing; `name` is the name in
the schema.
"""

from __future__ import annotations

from enum import Enum

import strawberry

from gateway.api.scalars import CursorScalar, DateTimeScalar, DecimalScalar, JSONScalar
from gateway.errors import Forbidden
from gateway.model.decisions.decide import DecisionReason as Reason


@strawberry.type(name="Visit", description="An anonymous visitor that was just created, or whose token was renewed.")
class VisitType:
    """The answer of `startVisit`."""

    anonymous_id: strawberry.ID = strawberry.field(description="The visitor's id until the visitor is known: `anon_…`.")
    token: str = strawberry.field(description="The visitor's signed token; send it as `Authorization: Bearer …`.")
    expires_at: DateTimeScalar = strawberry.field(
        description="When the token expires. Until then, and for some days after, `startVisit(token:)` renews it."
    )
    server_time: DateTimeScalar = strawberry.field(
        description="The gateway's clock. A client can derive the offset of its own clock from it."
    )


@strawberry.enum(name="EventStatus", description="The outcome of an event.")
class EventStatusEnum(Enum):
    """The outcome of an event."""

    ACCEPTED = strawberry.enum_value("ACCEPTED", description="All in-sync replicas of the event log have it.")
    REJECTED = strawberry.enum_value("REJECTED", description="Nothing was written; `error` says what to correct.")
    UNKNOWN = strawberry.enum_value("UNKNOWN", description="The deadline passed. It is safe to send the same messageId again.")


@strawberry.type(name="EventError", description="Why an event was rejected.")
class EventErrorType:
    """Why an event was rejected."""

    code: str = strawberry.field(
        description="REQUIRED, INVALID_VALUE, TOO_LARGE, TIMESTAMP_AHEAD or another code. Treat an unknown code as INVALID_VALUE."
    )
    message: str = strawberry.field(description="What is wrong and how to fix it.")
    field: str | None = strawberry.field(default=None, description="The path of the wrong field in EventInput.")


@strawberry.type(name="EventResult", description="The result of one event.")
class EventResultType:
    """The result of one event."""

    message_id: strawberry.ID = strawberry.field(description="The message id of the event.")
    status: EventStatusEnum = strawberry.field(description="The outcome of the event.")
    error: EventErrorType | None = strawberry.field(default=None, description="Why it was rejected; null if it was not.")


@strawberry.enum(name="DecisionReason", description="Why this banner was chosen. Clients treat an unknown value as DEFAULT.")
class DecisionReasonEnum(Enum):
    """Why this banner was chosen."""

    SPLIT = strawberry.enum_value(Reason.SPLIT.value, description="Like TARGETING_MATCH, in the variant that the visitor is assigned to.")
    HOLDOUT = strawberry.enum_value(
        Reason.HOLDOUT.value,
        description="The visitor is in the campaign's holdout group and gets the fallback; BANNER_VIEWED still counts.",
    )
    TARGETING_MATCH = strawberry.enum_value(Reason.TARGETING_MATCH.value, description="The condition of the campaign is true.")
    DEFAULT = strawberry.enum_value(Reason.DEFAULT.value, description="No campaign applies: the placement's fallback.")
    NO_CONSENT = strawberry.enum_value(
        Reason.NO_CONSENT.value, description="The visitor has not consented to personalization: the placement's fallback."
    )
    PREVIEW = strawberry.enum_value(
        Reason.PREVIEW.value, description="Chosen by a preview token. It is never counted, and its BANNER_* events are rejected."
    )
    UNKNOWN_PLACEMENT = strawberry.enum_value(
        Reason.UNKNOWN_PLACEMENT.value, description="The ruleset has no such placement: the page keeps its own content."
    )
    UNAVAILABLE = strawberry.enum_value(
        Reason.UNAVAILABLE.value, description="The context cannot be read at the moment: the placement's fallback."
    )


@strawberry.type(name="Image", description="An image. Width and height reserve its space before it has loaded.")
class ImageType:
    """An image."""

    url: str = strawberry.field(description="An http(s) or relative URL.")
    alt: str = strawberry.field(description="The alternative text, in plain text.")
    width: int | None = strawberry.field(default=None, description="The width in CSS pixels.")
    height: int | None = strawberry.field(default=None, description="The height in CSS pixels.")


@strawberry.type(name="RelatedProduct", description="A product that is shown with a banner.")
class RelatedProductType:
    """A product that is shown with a banner, as far as the events describe it."""

    product_id: strawberry.ID = strawberry.field(description="Your own id of the product.")
    category: str | None = strawberry.field(default=None, description="Its category, if an event named it.")


@strawberry.type(
    name="Banner", description="A banner with its placeholders filled in. Strings are plain text; links are http(s) or relative URLs."
)
class BannerType:
    """A banner."""

    id: strawberry.ID = strawberry.field(description="A hash of the content: banners with the same id have the same fields.")
    headline: str = strawberry.field(description="The headline in plain text; escape it for HTML.")
    body: str | None = strawberry.field(default=None, description="The text below the headline, in plain text.")
    link_url: str | None = strawberry.field(default=None, description="Where the banner links to: an http(s) or relative URL.")
    cta_label: str | None = strawberry.field(default=None, description="The label of the button, in plain text.")
    image: ImageType | None = strawberry.field(default=None, description="The image, if the banner has one.")
    locale: str | None = strawberry.field(default=None, description="The language of the banner, such as de-CH, if the ruleset names one.")
    products: list[RelatedProductType] = strawberry.field(description="Related products, chosen by the campaign's rule.")
    data: JSONScalar | None = strawberry.field(default=None, description="Custom data from the ruleset, for the page's own use.")


@strawberry.type(name="BannerDecision", description="The decision which banner a visitor sees at a placement.")
class BannerDecisionType:
    """The decision which banner a visitor sees at a placement."""

    id: strawberry.ID = strawberry.field(
        description="A signed id that carries the decision itself. Pass it as `decisionId` of BANNER_* events and in `shown`."
    )
    placement: strawberry.ID = strawberry.field(description="The id of the placement.")
    banner: BannerType | None = strawberry.field(description="The banner; null: the page keeps its own content.")
    reason: DecisionReasonEnum = strawberry.field(description="Why this banner was chosen.")
    campaign_id: strawberry.ID | None = strawberry.field(
        description="The campaign that was chosen, even if the visitor is in its holdout group; null if none was."
    )
    variant: str | None = strawberry.field(description="The variant that the visitor is assigned to, if the campaign is split.")
    ruleset_version: int = strawberry.field(description="The version of the ruleset; 0: the preview of an unpublished one.")
    context_version: int = strawberry.field(description="The version of the context; 0: nothing was known about the visitor.")
    cursor: CursorScalar = strawberry.field(description="How much of the event log this decision includes.")
    fresh: bool = strawberry.field(
        description="false: the context did not reach `after` within `maxWaitMs`, or the context store is unreachable."
    )
    decided_at: DateTimeScalar = strawberry.field(description="When the decision was made, by the gateway's clock.")
    valid_until: DateTimeScalar | None = strawberry.field(description="When the decision may next change without an event.")


@strawberry.type(name="Interest", description="The visitor's interest in a category.")
class InterestType:
    """A category and its score, as of the visitor's latest event."""

    category: str = strawberry.field(description="The category, as the events name it.")
    score: float = strawberry.field(
        description="Greater than 0, as of the visitor's latest event; it halves every 24 hours. Compare only the scores of one "
        "visitor: their ratios do not change with time."
    )


@strawberry.type(name="Money", description="An exact amount in a currency.")
class MoneyType:
    """An exact amount in a currency (ISO 4217)."""

    amount: DecimalScalar = strawberry.field(description="The exact amount in units of the currency: 19.90, not cents.")
    currency: str = strawberry.field(description="An ISO 4217 code, such as EUR.")


@strawberry.type(name="CartItem", description="One line of the cart.")
class CartItemType:
    """One line of the cart."""

    product_id: strawberry.ID = strawberry.field(description="Your own id of the product.")
    variant_id: strawberry.ID | None = strawberry.field(description="The variant of the product; null if no event named one.")
    category: str | None = strawberry.field(description="The category of the product; null if no event named one.")
    quantity: int = strawberry.field(description="How many pieces; at least 1.")
    price: MoneyType | None = strawberry.field(description="The price of one piece; null if no event named one.")


@strawberry.type(name="Purchases", description="What the visitor bought. Amounts are per currency, minus refunds.")
class PurchasesType:
    """What the visitor bought."""

    count: int = strawberry.field(description="The number of orders; each order id counts once.")
    totals: list[MoneyType] = strawberry.field(description="What was paid, one amount per currency.")
    last_at: DateTimeScalar | None = strawberry.field(description="The time of the latest order; null without an order.")


@strawberry.type(name="Consent", description="The visitor's strictest answer across all devices; null: never asked.")
class ConsentType:
    """Consent."""

    personalization: bool | None = strawberry.field(description="Whether banners may depend on what the visitor does.")
    measurement: bool | None = strawberry.field(description="Whether the visitor may be counted in campaign statistics.")


@strawberry.type(name="UserContext", description="What is currently known about a visitor.")
class UserContextType:
    """What is currently known about a visitor."""

    user_id: strawberry.ID = strawberry.field(description="The visitor's id; the known visitor's if an anonymous id joined one.")
    interested_category: str | None = strawberry.field(description="The category of the latest event that shows intent.")
    interests: list[InterestType] = strawberry.field(description="Interests, highest score first; at most 50.")
    cart: list[CartItemType] = strawberry.field(description="The lines of the cart in the order they were added; at most 100.")
    recent_products: list[strawberry.ID] = strawberry.field(
        description="Product ids of the latest product and order events, newest first, without duplicates; at most 50."
    )
    purchases: PurchasesType = strawberry.field(description="All orders of the visitor together.")
    consent: ConsentType = strawberry.field(description="What the visitor allows.")
    updated_at: DateTimeScalar | None = strawberry.field(description="The time of the latest event; null without an event.")
    version: int = strawberry.field(description="The number of distinct messages that were absorbed.")
    cursor: CursorScalar = strawberry.field(description="How much of the event log this context includes.")
    private_traits: strawberry.Private[object]
    may_see_traits: strawberry.Private[bool]

    @strawberry.field(description="The traits that `identify` set; requires a secret key.")
    def traits(self) -> JSONScalar | None:
        """Traits, for a secret key; others get FORBIDDEN for this field alone."""
        if not self.may_see_traits:
            raise Forbidden("traits require a secret key")
        return JSONScalar(self.private_traits)
