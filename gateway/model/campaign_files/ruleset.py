"""Reading a ruleset from YAML. All mistakes are reported together, each with its line and column. docs/campaigns.md has the format."""

from __future__ import annotations

from typing import Final

import yaml

from gateway.model.campaign_files.banner import BannerReader
from gateway.model.campaign_files.campaign import CampaignReader
from gateway.model.campaign_files.file_fields import FORMAT, PLACEMENT, RULESET
from gateway.model.campaign_files.nodes import compose
from gateway.model.campaign_files.reader import YamlReader, is_null
from gateway.model.conditions.analysis import variables_of
from gateway.model.conditions.condition_set import ConditionSet
from gateway.model.rulesets.ruleset import BannerTemplate, Campaign, InvalidRuleset, Placement, Ruleset, RulesetProblem
from gateway.model.rulesets.template import Template
from gateway.model.rulesets.versions import CURRENT_FORMAT

MAX_BYTES: Final = 1_000_000


def load_ruleset(text: str, version: int, text_format: int = CURRENT_FORMAT) -> Ruleset:
    """The ruleset of a YAML text, with this version number. Raises `InvalidRuleset` with all problems.

    `text_format`: how it is to be read; that of the record it was published by (`gateway.model.rulesets.versions`).
    """
    if text_format > CURRENT_FORMAT:
        message = f"format {text_format} was published by a later release; this one reads formats 1 to {CURRENT_FORMAT}"
        raise InvalidRuleset([RulesetProblem(message)])
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise InvalidRuleset([RulesetProblem(f"a ruleset has at most {MAX_BYTES} bytes")])
    # libyaml does not count a byte order mark as a character of the file.
    content = text.removeprefix("\ufeff")
    reader = YamlReader(content, text_format)
    try:
        root = compose(content, text_format)
        if root is not None and reader.is_too_large(root):
            raise InvalidRuleset(reader.problems)
        ruleset = _ruleset(reader, root, text, version)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise InvalidRuleset([RulesetProblem(f"not YAML: {problem.problem or problem.context}", None, line, column)]) from problem
    except yaml.reader.ReaderError as problem:
        before = content[: problem.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise InvalidRuleset([RulesetProblem(f"not YAML: {problem.reason}", None, line, column)]) from problem
    except RecursionError as problem:
        raise InvalidRuleset([RulesetProblem("not a ruleset: nested too deeply", reader.campaign_id, 1, 1)]) from problem
    if reader.problems:
        raise InvalidRuleset(sorted(reader.problems, key=lambda p: (p.line or 0, p.column or 0)))
    return ruleset


def _ruleset(reader: YamlReader, root: yaml.Node | None, text: str, version: int) -> Ruleset:
    fields = reader.fields(root, RULESET, "the ruleset")
    file_format = reader.scalar(fields.get("version"), int, "version")
    if file_format is not None and file_format != FORMAT:
        reader.problem(f"version is the format of the file and must be {FORMAT}", fields["version"])
    placements = _placements(reader, fields.get("placements"))
    campaigns = CampaignReader(reader, placements).campaigns(fields.get("campaigns"))
    for name, placement in placements.items():
        strongest_first = tuple(sorted((c for c in campaigns if c.placement == name), key=lambda c: -c.priority))
        conditions = ConditionSet([c.when for c in strongest_first])
        placements[name] = Placement(name, placement.description, placement.fallback, strongest_first, conditions)
    traits = [reader.scalar(node, str, "public_traits") for node in reader.items(fields.get("public_traits"), "public_traits")]
    return Ruleset(
        version=version,
        placements=placements,
        yaml=text,
        text_format=reader.text_format,
        holdout=reader.share(fields.get("holdout"), "holdout"),
        holdout_salt=reader.scalar(fields.get("holdout_salt"), str, "holdout_salt") or "global",
        groups=_groups(campaigns),
        public_traits=frozenset(name for name in traits if name is not None),
        uses_trends=any(_uses_trends(campaign) for campaign in campaigns) or any(_shows_products(p.fallback) for p in placements.values()),
    )


def _uses_trends(campaign: Campaign) -> bool:
    return "trends" in variables_of(campaign.when) or any(_shows_products(variant.banner) for variant in campaign.variants)


def _shows_products(banner: BannerTemplate | None) -> bool:
    return banner is not None and any(translation.products is not None for translation in (banner, *banner.locales.values()))


def _placements(reader: YamlReader, node: yaml.Node | None) -> dict[str, Placement]:
    placements: dict[str, Placement] = {}
    for key, value in reader.entries(node, "placements"):
        reader.identifier(key, key.value)
        if key.value in placements:
            reader.problem(f"duplicate placement {key.value}", key)
        placements[key.value] = _placement(reader, key.value, value)
    return placements


def _placement(reader: YamlReader, name: str, node: yaml.Node) -> Placement:
    fields = reader.fields(node, PLACEMENT, f"placement {name}")
    description = reader.scalar(fields.get("description"), str, "description") or ""
    fallback = fields.get("fallback")
    if fallback is None or is_null(fallback):
        return Placement(name, description, None)
    banners = BannerReader(reader)
    banner = banners.banner(fallback)
    translations = () if banner is None else (banner, *banner.locales.values())
    if any(_needs_data(template) for translation in translations for template in banners.templates(translation)):
        reader.problem("a fallback is also for unknown visitors: give its placeholders a default, {name|default}", fallback)
    return Placement(name, description, banner)


def _needs_data(template: Template) -> bool:
    """Whether a template has a placeholder without a default."""
    return any(isinstance(part, tuple) and part[1] is None for part in template.parts)


def _groups(campaigns: list[Campaign]) -> dict[str, tuple[str, ...]]:
    """The campaigns of each group, sorted by id: the assignment must not depend on their order in the file."""
    groups: dict[str, list[str]] = {}
    for campaign in campaigns:
        if campaign.group is not None:
            groups.setdefault(campaign.group, []).append(campaign.campaign_id)
    return {name: tuple(sorted(members)) for name, members in groups.items()}
