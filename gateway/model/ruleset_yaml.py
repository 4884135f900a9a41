"""Reading a ruleset from YAML, with every mistake found at once, each with its line and column.

version: 1
placements:
  homepage-hero:
    description: the large banner on top of the homepage
    fallback: {headline: "Welcome"}         # or none: the page keeps its own content
campaigns:
  - id: interest-deals
    placement: homepage-hero
    priority: 0                              # the higher one wins
    when: 'interested_category != ""'        # CEL
    schedule: {from: 2026-01-01T00:00:00Z, until: 2026-02-01T00:00:00Z}
    banner: {headline: "Exclusive deals on {interested_category} and accessories!", link_url: /deals}
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any, Final

import yaml

from gateway.model.conditions import Condition, ConditionSet, InvalidCondition
from gateway.model.events import parse_time_ms
from gateway.model.payload import InvalidEvent
from gateway.model.ruleset import BannerTemplate, Campaign, ImageTemplate, InvalidRuleset, Placement, Problem, Ruleset
from gateway.model.template import InvalidTemplate, Template, parse_template

FORMAT: Final = 1
MAX_BYTES: Final = 1_000_000
MAX_DATA_VALUES: Final = 10_000
"""Values in the `data` of one banner; anchors count as often as they are used."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

_BANNER_KEYS = ("headline", "body", "link_url", "cta_label", "image", "locale", "data")
_CAMPAIGN_KEYS = ("id", "placement", "priority", "when", "schedule", "banner", "description")


def load_ruleset(text: str, version: int) -> Ruleset:
    """The ruleset of a YAML text, or raise `InvalidRuleset` with all its problems."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise InvalidRuleset([Problem(f"a ruleset has at most {MAX_BYTES} bytes")])
    reader = _Reader(text)
    try:
        placements = reader.ruleset(yaml.compose(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise InvalidRuleset([Problem(f"not YAML: {problem.problem or problem.context}", None, line, column)]) from problem
    except yaml.reader.ReaderError as problem:
        before = text[: problem.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise InvalidRuleset([Problem(f"not YAML: {problem.reason}", None, line, column)]) from problem
    except RecursionError as problem:
        raise InvalidRuleset([Problem("not a ruleset: nested too deeply", reader.campaign_id, 1, 1)]) from problem
    if reader.problems:
        raise InvalidRuleset(sorted(reader.problems, key=lambda p: (p.line or 0, p.column or 0)))
    return Ruleset(version, placements, text)


class _Reader:
    """Walks the YAML nodes, collecting problems; what it gives back counts only when there are none."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self.lines = text.split("\n")
        self.campaign_id: str | None = None

    def problem(self, message: str, node: yaml.Node | None, line: int = 0, column: int = 0) -> None:
        mark = node.start_mark if node is not None else None
        at = (mark.line + 1 + line, mark.column + 1 + column) if mark else (1, 1)
        self.problems.append(Problem(message, self.campaign_id, *at))

    def ruleset(self, root: yaml.Node | None) -> dict[str, Placement]:
        fields = self.fields(root, ("version", "placements", "campaigns"), ("version", "placements"), "the ruleset")
        version = self.scalar(fields.get("version"), int, "version")
        if version is not None and version != FORMAT:
            self.problem(f"version is the format of the file and must be {FORMAT}", fields["version"])
        placements: dict[str, Placement] = {}
        for key, node in self.entries(fields.get("placements"), "placements"):
            self.identifier(key, key.value)
            if key.value in placements:
                self.problem(f"placement {key.value} is there twice", key)
            placements[key.value] = self.placement(key.value, node)
        campaigns = self.campaigns(fields.get("campaigns"), placements)
        for name, placement in placements.items():
            mine = tuple(sorted((c for c in campaigns if c.placement == name), key=lambda c: -c.priority))
            conditions = ConditionSet([c.when for c in mine])
            placements[name] = Placement(name, placement.description, placement.fallback, mine, conditions)
        return placements

    def placement(self, name: str, node: yaml.Node) -> Placement:
        fields = self.fields(node, ("description", "fallback"), (), f"placement {name}")
        description = self.scalar(fields.get("description"), str, "description") or ""
        fallback = fields.get("fallback")
        if fallback is None or fallback.tag == "tag:yaml.org,2002:null":
            return Placement(name, description, None)
        banner = self.banner(fallback)
        if banner is not None and any(isinstance(p, tuple) and p[1] is None for t in _templates(banner) for p in t.parts):
            self.problem("a fallback is for visitors we know nothing of: give its placeholders a default, {name|default}", fallback)
        return Placement(name, description, banner)

    def campaigns(self, node: yaml.Node | None, placements: dict[str, Placement]) -> list[Campaign]:
        found: list[Campaign] = []
        known: set[str] = set()
        for item in self.items(node, "campaigns"):
            fields = self.fields(item, _CAMPAIGN_KEYS, ("id", "placement", "when", "banner"), "a campaign")
            self.campaign_id = self.scalar(fields.get("id"), str, "id")
            if self.campaign_id is not None:
                self.identifier(fields["id"], self.campaign_id)
                if self.campaign_id in known:
                    self.problem(f"campaign {self.campaign_id} is there twice", fields["id"])
                known.add(self.campaign_id)
            campaign = self.campaign(fields, placements)
            if campaign is not None:
                found.append(campaign)
            self.campaign_id = None
        return found

    def campaign(self, fields: dict[str, yaml.Node], placements: dict[str, Placement]) -> Campaign | None:
        placement = self.scalar(fields.get("placement"), str, "placement")
        if placement is not None and placement not in placements:
            self.problem(f"placement {placement} is not defined; known are {', '.join(placements) or 'none'}", fields["placement"])
        priority = self.scalar(fields.get("priority"), int, "priority") or 0
        when = self.condition(fields.get("when"))
        from_ms, until_ms = self.schedule(fields.get("schedule"))
        banner = self.banner(fields["banner"]) if "banner" in fields else None
        if self.campaign_id is None or placement is None or when is None or banner is None:
            return None
        return Campaign(self.campaign_id, placement, priority, when, banner, from_ms, until_ms)

    def condition(self, node: yaml.Node | None) -> Condition | None:
        text = self.scalar(node, str, "when")
        if text is None or node is None:
            return None
        try:
            return Condition(text)
        except InvalidCondition as problem:
            quoted = 1 if isinstance(node, yaml.ScalarNode) and node.style in ("'", '"') else 0
            if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
                # A block's text begins on the line after its mark; its indentation is not part of the text.
                line = self.lines[node.start_mark.line + problem.line]
                column = len(line) - len(line.lstrip(" ")) + problem.column if node.style == "|" else 1
                self.problem(f"when: {problem}", node, problem.line, column - 1 - node.start_mark.column)
            else:
                self.problem(f"when: {problem}", node, 0, quoted + problem.column - 1)
            return None

    def schedule(self, node: yaml.Node | None) -> tuple[int | None, int | None]:
        if node is None:
            return None, None
        fields = self.fields(node, ("from", "until"), (), "schedule")
        times: list[int | None] = []
        for name in ("from", "until"):
            text = self.scalar(fields.get(name), str, name)
            try:
                times.append(None if text is None else parse_time_ms(text, name))
            except InvalidEvent as problem:
                self.problem(problem.message, fields[name])
                times.append(None)
        if times[0] is not None and times[1] is not None and times[0] >= times[1]:
            self.problem("schedule: from must be before until", node)
        return times[0], times[1]

    def banner(self, node: yaml.Node) -> BannerTemplate | None:
        fields = self.fields(node, _BANNER_KEYS, ("headline",), "a banner")
        headline = self.template(fields.get("headline"), "headline")
        image = None
        if "image" in fields:
            parts = self.fields(fields["image"], ("url", "alt", "width", "height"), ("url", "alt"), "image")
            url, alt = self.template(parts.get("url"), "url", is_link=True), self.template(parts.get("alt"), "alt")
            width, height = self.scalar(parts.get("width"), int, "width"), self.scalar(parts.get("height"), int, "height")
            if url is not None and alt is not None:
                image = ImageTemplate(url, alt, width, height)
        banner = BannerTemplate(
            headline=headline or Template(("",)),
            body=self.template(fields.get("body"), "body"),
            link_url=self.template(fields.get("link_url"), "link_url", is_link=True),
            cta_label=self.template(fields.get("cta_label"), "cta_label"),
            image=image,
            locale=self.scalar(fields.get("locale"), str, "locale"),
            data=self.data(fields.get("data")),
        )
        return banner if headline is not None else None

    def data(self, node: yaml.Node | None) -> Any:
        if node is None:
            return None
        if _holds_more_than(MAX_DATA_VALUES, node):
            self.problem(f"data must hold at most {MAX_DATA_VALUES} values", node)
            return None
        try:
            plain = json.dumps(yaml.constructor.SafeConstructor().construct_document(node), allow_nan=False, ensure_ascii=False)
            plain.encode()
        except yaml.MarkedYAMLError as problem:
            self.problem(f"data must be JSON: {problem.problem}", node)
            return None
        except (TypeError, ValueError) as problem:
            self.problem(f"data must be JSON: {problem}", node)
            return None
        # As a reader of the JSON sees it: every key is a text.
        return json.loads(plain)

    def template(self, node: yaml.Node | None, name: str, *, is_link: bool = False) -> Template | None:
        text = self.scalar(node, str, name)
        if text is None:
            return None
        try:
            return parse_template(text, is_link=is_link)
        except InvalidTemplate as problem:
            quoted = 1 if isinstance(node, yaml.ScalarNode) and node.style in ("'", '"') else 0
            self.problem(f"{name}: {problem}", node, 0, quoted + problem.column)
            return None

    def identifier(self, node: yaml.Node, text: str) -> None:
        if not _ID.fullmatch(text):
            self.problem(f"'{text}' is no id: letters, digits, '.', '_' and '-', at most 128", node)

    def entries(self, node: yaml.Node | None, name: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        if node is None:
            return []
        if not isinstance(node, yaml.MappingNode):
            self.problem(f"{name} must be a mapping", node)
            return []
        found = []
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                found.append((key, value))
            else:
                self.problem(f"{name}: a key must be a text", key)
        return found

    def fields(self, node: yaml.Node | None, known: tuple[str, ...], required: tuple[str, ...], name: str) -> dict[str, yaml.Node]:
        found: dict[str, yaml.Node] = {}
        for key, value in self.entries(node, name):
            if key.value not in known:
                self.problem(f"{name} has no field '{key.value}'; known are {', '.join(known)}", key)
            elif key.value in found:
                self.problem(f"{name} has the field '{key.value}' twice", key)
            else:
                found[key.value] = value
        for key_name in required:
            if key_name not in found and (node is None or isinstance(node, yaml.MappingNode)):
                self.problem(f"{name} needs the field '{key_name}'", node)
        return found

    def items(self, node: yaml.Node | None, name: str) -> list[yaml.Node]:
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.problem(f"{name} must be a list", node)
            return []
        return list(node.value)

    def scalar(self, node: yaml.Node | None, kind: type, name: str) -> Any:
        if node is None:
            return None
        if isinstance(node, yaml.ScalarNode):
            if kind is str and node.tag in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp") and node.value:
                if not _SURROGATE.search(node.value):
                    return node.value
                self.problem(f"{name} must not contain lone surrogates", node)
                return None
            if kind is int and node.tag == "tag:yaml.org,2002:int":
                with contextlib.suppress(ValueError):
                    return int(yaml.constructor.SafeConstructor().construct_document(node))
        expected = "a text" if kind is str else "a whole number"
        self.problem(f"{name} must be {expected}", node)
        return None


def _holds_more_than(limit: int, root: yaml.Node) -> bool:
    left, found = [root], 0
    while left and found <= limit:
        node = left.pop()
        found += 1
        if isinstance(node, yaml.MappingNode):
            left.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            left.extend(node.value)
    return found > limit


def _templates(banner: BannerTemplate) -> list[Template]:
    image = [banner.image.url, banner.image.alt] if banner.image else []
    return [t for t in (banner.headline, banner.body, banner.link_url, banner.cta_label, *image) if t is not None]
