"""Reading campaigns from YAML: condition, schedule, caps, split, holdout, group, banner, examples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from gateway.model.campaign_files.banner import BannerReader
from gateway.model.campaign_files.file_fields import (
    CAMPAIGN,
    CAPS,
    EXAMPLE,
    EXPECT,
    MAX_PRIORITY,
    MAX_VARIANTS,
    MAX_VIEWS_SINCE_CLICK,
    PERIOD,
    SCHEDULE,
    VARIANT,
    VIEW_CAP,
)
from gateway.model.campaign_files.reader import YamlReader
from gateway.model.conditions.condition import PAGE_FIELDS, Condition, InvalidCondition
from gateway.model.decisions.assignment import MAX_TOTAL_WEIGHT
from gateway.model.rulesets.caps import MAX_VIEWS, NO_CAPS, Caps, ViewCap
from gateway.model.rulesets.ruleset import (
    DEFAULT_VARIANT,
    HOLDOUT_VARIANT,
    NO_CAMPAIGN,
    BannerTemplate,
    Campaign,
    CampaignExample,
    Placement,
    Variant,
)
from gateway.model.rulesets.schedule import ALWAYS, DAYS, MINUTES_A_DAY, Schedule, parse_moment_ms
from gateway.model.times import DAY_MS, HOUR_MS, MINUTE_MS, InvalidTime
from gateway.model.visitors.context_input import InvalidContext, complete_context

_UNITS_MS: Final = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS, "week": 7 * DAY_MS}
RESERVED_VARIANTS: Final = {HOLDOUT_VARIANT: "visitors who are held out", DEFAULT_VARIANT: "campaigns without a split"}
"""Names that statistics use, and for what."""


class CampaignReader:
    """Reads the campaigns of placements that were read before. `reader` collects the problems."""

    def __init__(self, reader: YamlReader, placements: Mapping[str, Placement]) -> None:
        self._reader = reader
        self._placements = placements
        self._banners = BannerReader(reader)

    def campaigns(self, node: yaml.Node | None) -> list[Campaign]:
        """All campaigns without a mistake, in the order of the file."""
        campaigns: list[Campaign] = []
        known_ids: set[str] = set()
        for item in self._reader.items(node, "campaigns"):
            self._reader.campaign_id = _id_of(item)
            fields = self._reader.fields(item, CAMPAIGN, "a campaign")
            campaign_id = self._reader.scalar(fields.get("id"), str, "id")
            if campaign_id is not None:
                self._reader.identifier(fields["id"], campaign_id)
                if campaign_id == NO_CAMPAIGN:
                    self._reader.problem(f"a campaign cannot be named {NO_CAMPAIGN}", fields["id"])
                if campaign_id in known_ids:
                    self._reader.problem(f"duplicate campaign {campaign_id}", fields["id"])
                known_ids.add(campaign_id)
            campaign = self._campaign(campaign_id, item, fields)
            if campaign is not None:
                campaigns.append(campaign)
            self._reader.campaign_id = None
        return campaigns

    def _campaign(self, campaign_id: str | None, item: yaml.Node, fields: Mapping[str, yaml.Node]) -> Campaign | None:
        reader = self._reader
        placement = reader.scalar(fields.get("placement"), str, "placement")
        if placement is not None and placement not in self._placements:
            known = ", ".join(self._placements) or "none"
            reader.problem(f"placement {placement} is not defined; known placements: {known}", fields["placement"])
        priority = reader.integer(fields.get("priority"), "priority", -MAX_PRIORITY, MAX_PRIORITY) or 0
        when = self._condition(fields.get("when"))
        variants = self._variants(item, fields)
        schedule, caps = self._schedule(fields.get("schedule")), self._caps(fields.get("caps"))
        group = reader.scalar(fields.get("group"), str, "group")
        salt = reader.scalar(fields.get("salt"), str, "salt")
        holdout = reader.share(fields.get("holdout"), "holdout")
        examples = self._examples(fields.get("examples"))
        if campaign_id is None or placement is None or when is None or variants is None:
            return None
        return Campaign(
            campaign_id, placement, priority, when, variants, salt or campaign_id, schedule, caps, holdout, group, tuple(examples)
        )

    def _variants(self, item: yaml.Node, fields: Mapping[str, yaml.Node]) -> tuple[Variant, ...] | None:
        if "split" not in fields:
            if "banner" not in fields:
                if isinstance(item, yaml.MappingNode):
                    self._reader.problem("a campaign needs the field 'banner', or a split whose variants have one", item)
                return None
            is_valid, banner = self._banner(fields["banner"])
            return (Variant(None, 1, banner),) if is_valid else None
        if "banner" in fields:
            self._reader.problem("a campaign with a split has its banners in the variants of the split", fields["banner"])
        split: list[Variant] = []
        for node in self._reader.items(fields["split"], "split"):
            parts = self._reader.fields(node, VARIANT, "a variant")
            name = self._reader.scalar(parts.get("variant"), str, "variant")
            weight = self._reader.integer(parts.get("weight"), "weight", 1, MAX_TOTAL_WEIGHT) if "weight" in parts else 1
            is_valid, banner = self._banner(parts["banner"]) if "banner" in parts else (False, None)
            if name is None or weight is None or not is_valid:
                continue
            self._reader.identifier(parts["variant"], name)
            if name in RESERVED_VARIANTS:
                problem = f"a variant cannot be named {name}: statistics use this name for {RESERVED_VARIANTS[name]}"
                self._reader.problem(problem, parts["variant"])
            if any(variant.variant_id == name for variant in split):
                self._reader.problem(f"duplicate variant {name}", parts["variant"])
            split.append(Variant(name, weight, banner))
        if not split or len(split) > MAX_VARIANTS or sum(variant.weight for variant in split) > MAX_TOTAL_WEIGHT:
            limits = f"a split has 1 to {MAX_VARIANTS} variants, with weights of at most {MAX_TOTAL_WEIGHT} in total"
            self._reader.problem(limits, fields["split"])
            return None
        return tuple(split)

    def _banner(self, node: yaml.Node) -> tuple[bool, BannerTemplate | None]:
        """Whether it is valid, and the banner. `none` is valid too, without a banner: the page keeps its own content."""
        if isinstance(node, yaml.ScalarNode) and node.value == "none":
            return True, None
        banner = self._banners.banner(node)
        return banner is not None, banner

    def _condition(self, node: yaml.Node | None) -> Condition | None:
        text = self._reader.scalar(node, str, "when")
        if text is None or node is None:
            return None
        try:
            return Condition(text)
        except InvalidCondition as problem:
            lines_before = text.split("\n")[: problem.line - 1]
            self._reader.problem(f"when: {problem}", node, sum(len(line) + 1 for line in lines_before) + problem.column - 1)
            return None

    def _schedule(self, node: yaml.Node | None) -> Schedule:
        if node is None:
            return ALWAYS
        fields = self._reader.fields(node, SCHEDULE, "schedule")
        from_ms, until_ms = self._time(fields.get("from"), "from"), self._time(fields.get("until"), "until")
        is_forward = from_ms is None or until_ms is None or from_ms < until_ms
        if not is_forward:
            self._reader.problem("schedule: from must be before until", node)
        days = frozenset(self._days(fields["days"])) if "days" in fields else frozenset(range(7))
        from_minute, until_minute = self._hours(fields.get("hours"))
        zone = self._reader.scalar(fields.get("zone"), str, "zone") or "UTC"
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._reader.problem(f"zone: unknown time zone {zone}; write one such as Europe/Berlin", fields["zone"])
            return ALWAYS
        schedule = Schedule(from_ms, until_ms, days, from_minute, until_minute, zone)
        if days and is_forward and not schedule.ever_runs:
            self._reader.problem("schedule: it never runs, because none of its days and hours is between from and until", node)
        return schedule

    def _time(self, node: yaml.Node | None, name: str) -> int | None:
        text = self._reader.scalar(node, str, name)
        try:
            return None if text is None else parse_moment_ms(text, name)
        except InvalidTime as problem:
            self._reader.problem(str(problem), node)
            return None

    def _days(self, node: yaml.Node) -> list[int]:
        items = self._reader.items(node, "days")
        days = []
        for item in items:
            name = self._reader.scalar(item, str, "days")
            if name in DAYS:
                days.append(DAYS.index(name))
            elif name is not None:
                self._reader.problem(f"days: unknown day {name}; known days: {', '.join(DAYS)}", item)
        if isinstance(node, yaml.SequenceNode) and not items:
            self._reader.problem("days: list at least one day, or leave the field out", node)
        return days

    def _hours(self, node: yaml.Node | None) -> tuple[int, int]:
        text = self._reader.scalar(node, str, "hours")
        if text is None:
            return 0, MINUTES_A_DAY
        match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", text)
        if match is not None:
            start, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
            if start < end <= MINUTES_A_DAY:
                return start, end
        self._reader.problem("hours must be a span within one day, such as 09:00-18:00", node)
        return 0, MINUTES_A_DAY

    def _caps(self, node: yaml.Node | None) -> Caps:
        if node is None:
            return NO_CAPS
        fields = self._reader.fields(node, CAPS, "caps")
        views: list[ViewCap] = []
        for item in self._reader.items(fields.get("views"), "views"):
            parts = self._reader.fields(item, VIEW_CAP, "a cap of views")
            limit = self._reader.integer(parts.get("max"), "max", 1, MAX_VIEWS)
            period_ms = self._period_ms(parts.get("per"))
            if limit is not None:
                views.append(ViewCap(limit, period_ms))
        since_click = self._reader.integer(fields.get("views_since_click"), "views_since_click", 1, MAX_VIEWS_SINCE_CLICK)
        return Caps(tuple(views), since_click, bool(self._reader.boolean(fields.get("stop_after_dismiss"), "stop_after_dismiss")))

    def _period_ms(self, node: yaml.Node | None) -> int | None:
        text = self._reader.scalar(node, str, "per")
        if text is None:
            return None
        match = re.fullmatch(PERIOD, text)
        if match is None or int(match[1]) == 0:
            self._reader.problem("per must be a period such as 1 day, 12 hours or 2 weeks", node)
            return None
        return int(match[1]) * _UNITS_MS[match[2]]

    def _examples(self, node: yaml.Node | None) -> list[CampaignExample]:
        examples = []
        for item in self._reader.items(node, "examples"):
            fields = self._reader.fields(item, EXAMPLE, "an example")
            if "expect" not in fields:
                continue
            expected = self._reader.fields(fields["expect"], EXPECT, "expect")
            campaign_id = self._reader.scalar(expected.get("campaign"), str, "campaign")
            examples.append(
                CampaignExample(
                    context=self._context(fields.get("context")),
                    page=self._page(fields.get("page")),
                    at_ms=self._time(fields.get("at"), "at"),
                    campaign_id=campaign_id,
                    headline=self._reader.scalar(expected.get("headline"), str, "headline"),
                    line=item.start_mark.line + 1,
                )
            )
        return examples

    def _context(self, node: yaml.Node | None) -> dict[str, Any]:
        try:
            return complete_context(self._json_object(node, "context"))
        except InvalidContext as problem:
            self._reader.problem(str(problem), node)
            return {}

    def _page(self, node: yaml.Node | None) -> dict[str, Any]:
        page = self._json_object(node, "page")
        for name, value in page.items():
            if name not in PAGE_FIELDS or not isinstance(value, str):
                problem = f"page: {name} is unknown or not a string; known fields, all strings: {', '.join(PAGE_FIELDS)}"
                self._reader.problem(problem, node)
        return page

    def _json_object(self, node: yaml.Node | None, name: str) -> dict[str, Any]:
        value = self._reader.json(node, name)
        if isinstance(value, dict):
            return value
        if isinstance(node, yaml.ScalarNode | yaml.SequenceNode):
            self._reader.problem(f"{name} must be a mapping", node)
        return {}


def _id_of(item: yaml.Node) -> str | None:
    """The id of a campaign before it is checked, so that its mistakes can name it."""
    entries = item.value if isinstance(item, yaml.MappingNode) else []
    return next((str(v.value) for k, v in entries if k.value == "id" and isinstance(v, yaml.ScalarNode) and v.value), None)
