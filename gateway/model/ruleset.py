"""Rulesets: placements and campaigns, as plain immutable values. `gateway.model.ruleset_yaml` reads them from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.model.conditions import Condition, ConditionSet
from gateway.model.template import Template


@dataclass(frozen=True, slots=True)
class ImageTemplate:
    """An image of a banner; width and height in CSS pixels reserve its place."""

    url: Template
    alt: Template
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class BannerTemplate:
    """A banner before its placeholders are filled in."""

    headline: Template
    body: Template | None = None
    link_url: Template | None = None
    cta_label: Template | None = None
    image: ImageTemplate | None = None
    locale: str | None = None
    data: Any = None


@dataclass(frozen=True, slots=True)
class Campaign:
    """A banner, who sees it and when. Times are milliseconds since the epoch; `until_ms` is exclusive."""

    campaign_id: str
    placement: str
    priority: int
    when: Condition
    banner: BannerTemplate
    from_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """A place on a page. Without a fallback the page keeps its own content."""

    placement_id: str
    description: str
    fallback: BannerTemplate | None
    campaigns: tuple[Campaign, ...] = ()
    """Strongest first: by priority, then by their order in the file."""
    conditions: ConditionSet = field(default_factory=lambda: ConditionSet(()))


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A numbered, immutable version of all placements and campaigns."""

    version: int
    placements: Mapping[str, Placement]
    yaml: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in a ruleset. `line` and `column` count from 1."""

    message: str
    campaign_id: str | None = None
    line: int | None = None
    column: int | None = None

    def text(self, file: str) -> str:
        """`file:line:column: campaign …: message`."""
        place = ":".join(str(part) for part in (file, self.line, self.column) if part is not None)
        campaign = f"campaign {self.campaign_id}: " if self.campaign_id else ""
        return f"{place}: {campaign}{self.message}"


class InvalidRuleset(Exception):
    """A ruleset that is refused as a whole, with every mistake found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(problem.text("ruleset") for problem in problems))
        self.problems = problems
