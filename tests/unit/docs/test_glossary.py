"""docs/glossary.md against the code: the names and files in its last column exist."""

from __future__ import annotations

import re

import pytest

from tests.support.words import ROOT, tracked

ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
TERMS = [row for row in ROWS if row[0] not in ("term", "---")]
CODE = "".join(path.read_text(encoding="utf-8") for path in tracked("gateway/*.py", "processors/*.py", "schema.graphql", "docs/privacy.md"))


def test_a_term_has_one_row() -> None:
    """In plain sentences, each ended by a full stop."""
    terms = [term for term, _, _ in TERMS]
    assert len(terms) > 60
    assert len(terms) == len(set(terms))
    assert [term for term, meaning, _ in TERMS if not meaning.endswith(".")] == []


@pytest.mark.parametrize(("term", "names"), [(term, names) for term, _, names in TERMS])
def test_the_names_of_a_term_exist(term: str, names: str) -> None:
    """Files in the tree; every word of other names in the code, the schema or the form of an export."""
    for name in re.findall(r"`([^`]+)`", names):
        if "/" in name and "<" not in name and "@" not in name:
            assert (ROOT / name).exists(), f"{term}: {name}"
        else:
            words = re.findall(r"[A-Za-z_]+", re.sub(r"<\w+>|…", "", name))
            assert [word for word in words if not re.search(rf"\b{word}", CODE)] == [], f"{term}: {name}"
