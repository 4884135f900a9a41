"""The gateway's answers as frozen values. Enums may grow: a value that is not known here is read as the most general one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class DecisionReason(StrEnum):
    """Why a decision has its banner. Unknown values are read as DEFAULT."""

    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    DEFAULT = "DEFAULT"
    HOLDOUT = "HOLDOUT"
    NO_CONSENT = "NO_CONSENT"
    PREVIEW = "PREVIEW"
    UNKNOWN_PLACEMENT = "UNKNOWN_PLACEMENT"
    UNAVAILABLE = "UNAVAILABLE"


class EventStatus(StrEnum):
    """The outcome for an event. Unknown values are read as UNKNOWN: sending the event again is safe."""

    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Image:
    """An image; its size, if known, is in CSS pixels."""

    url: str
    alt: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """A related product of a banner; the shop knows its other data by the id."""

    product_id: str
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Banner:
    """The content of a banner, as plain text. Equal content has the same `id`."""

    id: str
    headline: str
    body: str | None = None
    link_url: str | None = None
    cta_label: str | None = None
    image: Image | None = None
    locale: str | None = None
    products: tuple[Product, ...] = ()
    data: object = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision for a placement. Without a banner the page keeps its own content, but still names the decision.

    `is_personal`: made for one visitor (or a preview), so it belongs only in pages of that visitor. `valid_until`: when it can
    change without an event. `cursor`: how much of the log it includes. `fresh` False: `after` was not covered in time.
    """

    id: str
    placement: str
    banner: Banner | None
    reason: DecisionReason
    campaign_id: str | None
    variant: str | None
    ruleset_version: int
    context_version: int
    cursor: str
    fresh: bool
    decided_at: datetime
    valid_until: datetime | None
    is_personal: bool


@dataclass(frozen=True, slots=True)
class StartedVisit:
    """A new visitor's id and token. Times are by the gateway's clock."""

    anonymous_id: str
    token: str = field(repr=False)
    expires_at: datetime
    server_time: datetime


@dataclass(frozen=True, slots=True)
class EventError:
    """Why an event was rejected; `field` is a path in the event."""

    code: str
    message: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class EventResult:
    """The answer to one event."""

    message_id: str
    status: EventStatus
    error: EventError | None = None


@dataclass(frozen=True, slots=True)
class TrackResult:
    """The answers to a batch. `decisions` are those for the requested placements, after these events."""

    results: tuple[EventResult, ...]
    cursor: str | None
    server_time: datetime
    decisions: tuple[Decision, ...] = ()

    @property
    def all_accepted(self) -> bool:
        """Whether every event is in the event log."""
        return all(result.status is EventStatus.ACCEPTED for result in self.results)

    @property
    def to_send_again(self) -> frozenset[str]:
        """Message ids of events that may or may not have arrived: send these events again, unchanged."""
        return frozenset(result.message_id for result in self.results if result.status is EventStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Interest:
    """A category, and how strongly the visitor is interested in it."""

    category: str
    score: float


@dataclass(frozen=True, slots=True)
class CartItem:
    """A line of the cart; `price` is for one piece."""

    product_id: str
    variant_id: str | None
    category: str | None
    quantity: int
    price: Money | None


@dataclass(frozen=True, slots=True)
class Purchases:
    """What the visitor bought, minus refunds."""

    count: int
    totals: tuple[Money, ...]
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Consent:
    """What the visitor consented to; None: never asked."""

    personalization: bool | None
    measurement: bool | None


@dataclass(frozen=True, slots=True)
class UserContext:
    """What is known about a visitor now. `traits` are only sent for a secret key."""

    user_id: str
    interested_category: str | None
    interests: tuple[Interest, ...]
    cart: tuple[CartItem, ...]
    recent_products: tuple[str, ...]
    purchases: Purchases
    consent: Consent
    updated_at: datetime | None
    version: int
    cursor: str
    traits: Mapping[str, object]


class StepOutcome(StrEnum):
    """The outcome for a campaign. Unknown values are read as CONDITION_FALSE."""

    MATCHED = "MATCHED"
    CONDITION_FALSE = "CONDITION_FALSE"
    NOT_SCHEDULED = "NOT_SCHEDULED"
    CAPPED = "CAPPED"
    HELD_OUT = "HELD_OUT"
    LOWER_PRIORITY = "LOWER_PRIORITY"
    CONDITION_ERROR = "CONDITION_ERROR"


@dataclass(frozen=True, slots=True)
class Step:
    """A campaign of the placement, its outcome, and the reason."""

    campaign_id: str
    outcome: StepOutcome
    detail: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """An event that a field of the context depends on, with its position in the log."""

    field: str
    topic: str
    partition: int
    offset: str
    message_id: str | None
    occurred_at: datetime | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a decision was made: the campaigns, strongest first, and the events behind the context fields that they used."""

    decision: Decision
    steps: tuple[Step, ...]
    evidence: tuple[Evidence, ...]
    notes: tuple[str, ...]
