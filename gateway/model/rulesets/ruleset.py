"""Rulesets: placements and campaigns, as plain immutable values. `gateway.model.campaign_files.ruleset` reads them from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from gateway.model.conditions.condition import Condition
from gateway.model.conditions.condition_set import ConditionSet
from gateway.model.rulesets.caps import NO_CAPS, Caps
from gateway.model.rulesets.schedule import ALWAYS, Schedule
from gateway.model.rulesets.template import Template
from gateway.model.rulesets.versions import CURRENT_FORMAT

HOLDOUT_VARIANT: Final = "holdout"
"""The variant of visitors who are held out of a campaign."""
DEFAULT_VARIANT: Final = "default"
"""The only variant of a campaign without a split, in reports."""
NO_CAMPAIGN: Final = "none"
"""The expected campaign of an example in which none is to be shown."""


@dataclass(frozen=True, slots=True)
class ImageTemplate:
    """An image of a banner. Width and height are in CSS pixels; they reserve its space on the page."""

    url: Template
    alt: Template
    width: int | None
    height: int | None


class ProductSource(StrEnum):
    """Where related products come from."""

    SAME_CATEGORY = "same_category"
    BOUGHT_TOGETHER = "bought_together"
    TRENDING = "trending"
    LAST_SEEN = "last_seen"


@dataclass(frozen=True, slots=True)
class ProductRule:
    """Related products of a banner: the first `count` of `source` that are not excluded."""

    source: ProductSource
    count: int
    exclude_cart: bool = True
    exclude_bought: bool = True


@dataclass(frozen=True, slots=True)
class BannerTemplate:
    """A banner before its placeholders are filled in. `locales`: the complete banner for other languages, by language tag."""

    headline: Template
    body: Template | None = None
    link_url: Template | None = None
    cta_label: Template | None = None
    image: ImageTemplate | None = None
    locale: str | None = None
    data: Any = None
    products: ProductRule | None = None
    locales: Mapping[str, BannerTemplate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Variant:
    """One arm of a split. `banner` None: the page keeps its own content. A campaign without a split has one variant, without an id."""

    variant_id: str | None
    weight: int
    banner: BannerTemplate | None


@dataclass(frozen=True, slots=True)
class CampaignExample:
    """An example of a campaign: with this context and page, at this time (ms), expect this. `line`: where it starts in the file, from 1.

    `campaign_id` or `headline` None: anything is accepted. `at_ms` None: at the time of the check.
    """

    context: Mapping[str, Any]
    page: Mapping[str, Any]
    at_ms: int | None
    campaign_id: str | None
    headline: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Campaign:
    """A banner, who sees it and when. `holdout`: a share in units of 1/10,000. `group`: its campaigns exclude each other."""

    campaign_id: str
    placement: str
    priority: int
    when: Condition
    variants: tuple[Variant, ...]
    salt: str
    schedule: Schedule = ALWAYS
    caps: Caps = NO_CAPS
    holdout: int = 0
    group: str | None = None
    examples: tuple[CampaignExample, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """A place on a page. `fallback` None: without a campaign the page keeps its own content."""

    placement_id: str
    description: str
    fallback: BannerTemplate | None
    campaigns: tuple[Campaign, ...] = ()
    """Strongest first: by priority, then in the order of the file."""
    conditions: ConditionSet = field(default_factory=lambda: ConditionSet(()))


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A numbered, immutable version of all placements and campaigns."""

    version: int
    placements: Mapping[str, Placement]
    yaml: str
    holdout: int = 0
    """The share of visitors who see no campaign at all, in units of 1/10,000."""
    holdout_salt: str = "global"
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Campaigns that exclude each other, by group: each visitor belongs to one of them."""
    public_traits: frozenset[str] = frozenset()
    """The traits that a visitor token may set with `identify`."""
    text_format: int = CURRENT_FORMAT
    """How `yaml` is to be read."""
    uses_trends: bool = False
    """Whether a decision can depend on the trends: a condition uses them, or a banner has related products."""


@dataclass(frozen=True, slots=True)
class RulesetProblem:
    """A mistake in a ruleset. `line` and `column` count from 1."""

    message: str
    campaign_id: str | None = None
    line: int | None = None
    column: int | None = None

    def text(self, file: str) -> str:
        """`file:line:column: campaign …: message`."""
        location = ":".join(str(part) for part in (file, self.line, self.column) if part is not None)
        campaign = f"campaign {self.campaign_id}: " if self.campaign_id else ""
        return f"{location}: {campaign}{self.message}"


class InvalidRuleset(Exception):
    """A ruleset that is refused as a whole, with all of its mistakes."""

    def __init__(self, problems: list[RulesetProblem]) -> None:
        self.problems = problems
        super().__init__(self.text("ruleset"))

    def text(self, file: str) -> str:
        """One line for each mistake, with its location in `file`."""
        return "\n".join(problem.text(file) for problem in self.problems)
