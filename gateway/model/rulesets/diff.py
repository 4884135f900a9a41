"""The differences between two rulesets: which placements and campaigns are added or removed, and which of their parts are changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gateway.model.rulesets.ruleset import Campaign, Ruleset

_PARTS: Final = ("placement", "priority", "schedule", "caps", "salt", "holdout", "group", "examples")


@dataclass(frozen=True, slots=True)
class RulesetChange:
    """One difference. `sign` is + (added), - (removed) or ~ (changed, in `parts`)."""

    sign: str
    kind: str
    name: str
    parts: tuple[str, ...] = ()

    def text(self) -> str:
        """`~ campaign deals: when, banner`."""
        return f"{self.sign} {self.kind} {self.name}".rstrip() + (f": {', '.join(self.parts)}" if self.parts else "")


def ruleset_changes(old: Ruleset, new: Ruleset) -> list[RulesetChange]:
    """The changes from the old ruleset to the new one, by kind and name."""
    changes = []
    overall = tuple(name for name in ("holdout", "holdout_salt", "public_traits") if getattr(old, name) != getattr(new, name))
    if overall:
        changes.append(RulesetChange("~", "ruleset", "", overall))
    changes += _compare("placement", _placements(old), _placements(new))
    return changes + _compare("campaign", _campaigns(old), _campaigns(new))


def _placements(ruleset: Ruleset) -> dict[str, dict[str, Any]]:
    return {name: {"description": placement.description, "fallback": placement.fallback} for name, placement in ruleset.placements.items()}


def _campaigns(ruleset: Ruleset) -> dict[str, dict[str, Any]]:
    return {c.campaign_id: _parts(c) for placement in ruleset.placements.values() for c in placement.campaigns}


def _parts(campaign: Campaign) -> dict[str, Any]:
    is_split = campaign.variants[0].variant_id is not None
    parts = {name: getattr(campaign, name) for name in _PARTS}
    # The line of an example in the file does not matter.
    parts["examples"] = [(e.context, e.page, e.at_ms, e.campaign_id, e.headline) for e in campaign.examples]
    return parts | {"when": campaign.when.text, "split" if is_split else "banner": campaign.variants}


def _compare(kind: str, old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> list[RulesetChange]:
    changes = []
    for name in sorted(set(old) | set(new)):
        if name not in new:
            changes.append(RulesetChange("-", kind, name))
        elif name not in old:
            changes.append(RulesetChange("+", kind, name))
        else:
            parts = tuple(part for part in sorted({*old[name], *new[name]}) if old[name].get(part) != new[name].get(part))
            if parts:
                changes.append(RulesetChange("~", kind, name, parts))
    return changes
