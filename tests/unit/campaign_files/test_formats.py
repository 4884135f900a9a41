"""The formats that rulesets were published in: what was published before decides as before, and what is published now is YAML 1.2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.campaign_files.nodes import compose, construct
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.decide import Inputs, decide
from gateway.model.rulesets.ruleset import InvalidRuleset
from gateway.model.rulesets.versions import CURRENT_FORMAT, InvalidRecord, RulesetLog, RulesetRecord, decode_record
from tests.support.strategies import SETTINGS

KEPT: Final[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "rulesets" / "kept_topic.json").read_text(encoding="utf-8"))
"""A topic as release 0.1 wrote it (records without a format), with the decisions that it made."""


def test_every_version_of_a_kept_topic_decides_as_before() -> None:
    """Every record is a version, loads, and leads to the same campaigns, variants, banners and moments."""
    log = RulesetLog()
    for offset, record in enumerate(KEPT["records"]):
        version = log.absorb(offset, record["value"].encode())
        assert version is not None
        assert version.text_format == 1
        ruleset = load_ruleset(version.yaml, version.version, version.text_format)
        for number, placement, *expected in record["decisions"]:
            context = KEPT["contexts"][number]
            visitor_id = None if context is None else context["user_id"] or None
            decision = decide(ruleset, placement, Inputs(context, KEPT["page"], KEPT["now_ms"], visitor_id))
            banner = decision.banner
            shown = [banner.banner_id, banner.headline] if banner else [None, None]
            assert [decision.reason, decision.campaign_id, decision.variant, *shown, decision.valid_until_ms] == expected
    assert log.version == len(KEPT["records"])


def test_what_is_published_now_says_its_format() -> None:
    """A later format is still a version, so that all releases count alike; it cannot be loaded here, and says why."""
    record = RulesetRecord("m", None, "version: 1\nplacements: {}\n", 7)
    assert json.loads(record.encode())["format"] == CURRENT_FORMAT
    assert decode_record(record.encode()) == record
    later = json.dumps({**json.loads(record.encode()), "format": 3}).encode()
    version = RulesetLog().absorb(0, later)
    assert version is not None
    with pytest.raises(InvalidRuleset, match="format 3 was published by a later release; this one reads formats 1 to 2"):
        load_ruleset(version.yaml, 1, version.text_format)
    for wrong in (0, -1, True, "2", 1.5, None):
        with pytest.raises(InvalidRecord, match="format must be an integer from 1"):
            decode_record(json.dumps({**json.loads(record.encode()), "format": wrong}).encode())


VALUES: Final = [
    ("no", False, "no"), ("Yes", True, "Yes"), ("on", True, "on"), ("off", False, "off"), ("y", "y", "y"),
    ("true", True, True), ("False", False, False), ("9:30", 570, "9:30"), ("1:30:00", 5400, "1:30:00"),
    ("017", 15, 17), ("0o17", "0o17", 15),
    ("0b11", 3, "0b11"), ("1_000", 1000, "1_000"), ("0x1F", 31, 31), ("-12", -12, -12), ("+5", 5, 5), ("1e3", "1e3", 1000.0),
    (".5", 0.5, 0.5),
    ("1.", 1.0, 1.0), ("~", None, None), ("null", None, None), ("<<", "<<", "<<"), ("=", "=", "="),
]  # fmt: skip


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("text", "old", "new"), VALUES)
def test_a_plain_scalar_is_what_its_format_says(text: str, old: object, new: object, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Format 1 as YAML 1.1, format 2 by the core schema of YAML 1.2, with and without libyaml."""
    monkeypatch.setattr(yaml, "__with_libyaml__", fast)
    for text_format, expected in ((1, old), (2, new)):
        if text in ("<<", "=") and text_format == 1:
            continue
        node = compose(f"key: {text}\n", text_format)
        assert isinstance(node, yaml.MappingNode)
        value = construct(node.value[0][1], text_format)
        assert (type(value), value) == (type(expected), expected)


def test_a_date_is_a_string() -> None:
    """In both formats where a string is expected; as a value of `data` from format 2 on."""
    text = "version: 1\nplacements: {top: {fallback: {headline: 2026-01-31, data: 2026-01-31}}}\n"
    fallback = load_ruleset(text, 1).placements["top"].fallback
    assert fallback is not None
    assert fallback.data == "2026-01-31"
    with pytest.raises(InvalidRuleset, match="data must be JSON"):
        load_ruleset(text, 1, 1)


def test_words_that_are_booleans_elsewhere_are_strings() -> None:
    """A headline `No`, a trait `on`, a key `off`."""
    text = "version: 1\nplacements: {top: {fallback: {headline: No, body: 9:30, data: {on: off}}}}\n"
    fallback = load_ruleset(text, 1).placements["top"].fallback
    assert fallback is not None
    assert (fallback.headline.render({}), fallback.data) == ("No", {"on": "off"})
    with pytest.raises(InvalidRuleset, match="headline must be a string"):
        load_ruleset(text, 1, 1)


@SETTINGS
@given(st.text(st.sampled_from("0123456789abcdefoxEe+-._~:tTrRuUlLnNyYsS"), min_size=1, max_size=8))
def test_libyaml_and_python_agree(text: str) -> None:
    """On every plain scalar, in both formats."""
    for text_format in (1, 2):
        trees: list[Any] = []
        for fast in (True, False):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(yaml, "__with_libyaml__", fast)
                try:
                    node = compose(f"[{text}]", text_format)
                except yaml.YAMLError:
                    trees.append(None)
                    continue
                assert node is not None
                trees.append([(type(item), item.tag, item.value if isinstance(item, yaml.ScalarNode) else None) for item in node.value])
        assert trees[0] == trees[1]
