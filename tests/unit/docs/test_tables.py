"""Tables of the documentation are made from the code: `python -m tests.support.tables` writes them."""

from __future__ import annotations

import re

import pytest

from gateway.settings import Settings
from gateway.telemetry import Metrics
from tests.support.tables import TABLES, documented
from tests.support.words import ROOT, tracked

SOURCES = {path: path.read_text(encoding="utf-8") for path in tracked("gateway/**.py", "processors/**.py")}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_what_the_code_does(name: str) -> None:
    """Row by row."""
    assert documented(name) == TABLES[name][1]()


@pytest.mark.parametrize("name", [name for name in vars(Metrics()) if name != "registry"])
def test_a_metric_is_counted_somewhere(name: str) -> None:
    """A metric that nothing sets would always be 0."""
    used = [path for path, text in SOURCES.items() if path.name != "telemetry.py" and re.search(rf"metrics\.{name}\b", text)]
    assert used, f"gateway/telemetry.py: nothing uses {name}"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_is_read_somewhere(name: str) -> None:
    """A setting that nothing reads has no effect."""
    own = SOURCES[ROOT / "gateway" / "settings.py"].count(f"self.{name}")
    used = [path for path, text in SOURCES.items() if path.name != "settings.py" and re.search(rf"settings\.{name}\b", text)]
    assert used or own, f"gateway/settings.py: nothing reads {name}"
