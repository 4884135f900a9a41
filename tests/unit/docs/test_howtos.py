"""The how-tos: each names files that exist and ends with tests that exist; two of them are followed on a copy of the project."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support.words import ROOT, tracked

HOWTOS: Final = sorted(path for path in (ROOT / "docs" / "howto").glob("*.md") if path.name != "README.md")
LEFT_OUT: Final = ("graphiql/", "bench/", "examples/recipes/", "docs/storefront.png", "package-lock.json")
"""What the copies do without."""


@pytest.mark.parametrize("howto", HOWTOS, ids=lambda path: path.stem)
def test_a_howto_ends_with_tests_that_exist(howto: Path) -> None:
    """And names files and folders that exist."""
    text = howto.read_text(encoding="utf-8")
    assert text.rstrip().endswith("```")
    (command,) = re.findall(r"scripts/test (.*)", text)
    names = [
        *command.split(),
        *re.findall(r"`((?:gateway|processors|frontend_snippet|clients|docs|tests)/[\w./-]+)`", text),
        "CHANGELOG.md",
    ]
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_list_of_howtos_is_whole() -> None:
    """docs/howto/README.md links each."""
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "howto" / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == [path.name for path in HOWTOS]


Edit = tuple[str, str, str]
"""A file, a text in it, and what the text becomes."""

WISHLIST_ROW: Final = (
    "| `WISHLIST_ADDED` | A product was added to the wish list; requires `product`. | `product` | `user_clicks` | "
    "`interested_category`, `interests`, `recent_products` |"
)
EVENT_KIND: Final[Mapping[str, list[Edit]]] = {
    "event_kinds.py: EVENT_KINDS": [
        (
            "gateway/model/events/event_kinds.py",
            '    CUSTOM = "CUSTOM"\n',
            '    CUSTOM = "CUSTOM"\n    WISHLIST_ADDED = "WISHLIST_ADDED"\n',
        ),
        (
            "gateway/model/events/event_kinds.py",
            "    EventType.IDENTIFY: EventKind(",
            """    EventType.WISHLIST_ADDED: EventKind(
        meaning="A product was added to the wish list; requires `product`.",
        topic=Topic.USER_CLICKS,
        required=("product",),
        contribution=Kind.CLICK,
        changes=("interested_category", "interests", "recent_products"),
    ),
    EventType.IDENTIFY: EventKind(""",
        ),
    ],
    "gateway/api/inputs.py: EventTypeEnum": [
        (
            "gateway/api/inputs.py",
            "    CUSTOM = _described",
            "    WISHLIST_ADDED = _described(EventType.WISHLIST_ADDED)\n    CUSTOM = _described",
        ),
    ],
    "EventInput.product does not say that WISHLIST_ADDED requires it": [
        ("gateway/api/inputs.py", "PRODUCT_ADDED and PRODUCT_REMOVED", "PRODUCT_ADDED, PRODUCT_REMOVED and WISHLIST_ADDED"),
    ],
    "schema.graphql: enum EventType": [("schema.graphql", "  CHECKOUT_STARTED\n", "  CHECKOUT_STARTED\n  WISHLIST_ADDED\n")],
    "types.ts: interface Payloads": [
        (
            "frontend_snippet/src/types.ts",
            "  CUSTOM: { name: string };",
            "  WISHLIST_ADDED: { product: Product };\n  CUSTOM: { name: string };",
        ),
    ],
    "tracker_names.py: NAMES": [
        (
            "gateway/model/events/tracker_names.py",
            "    EventType.CART_UPDATED: {",
            '    EventType.WISHLIST_ADDED: {Tracker.GA4: ("add_to_wishlist",)},\n    EventType.CART_UPDATED: {',
        ),
    ],
    "docs/events.md": [
        (
            "docs/events.md",
            "| `IDENTIFY` |",
            WISHLIST_ROW + "\n| `IDENTIFY` |",
        ),
    ],
}
CONTEXT_FIELD: Final[Mapping[str, list[Edit]]] = {
    "context_fields.py: CONTEXT_FIELDS": [
        (
            "gateway/model/context_fields.py",
            '    "updated_at": _nullable(',
            '    "currency": _nullable(Plain.STRING, "the currency of the latest order"),\n    "updated_at": _nullable(',
        ),
    ],
    "gateway/model/visitors/context_view.py: context_of": [
        (
            "gateway/model/visitors/context_view.py",
            '        "updated_at":',
            '        "currency": next((order[0] for order in reversed(shown.orders.values())), None),\n        "updated_at":',
        ),
    ],
    "changes in EVENT_KINDS does not name": [
        (
            "gateway/model/events/event_kinds.py",
            '"purchases",\n            "cart",',
            '"purchases",\n            "currency",\n            "cart",',
        ),
        ("docs/events.md", "`purchases`, `cart`,", "`purchases`, `currency`, `cart`,"),
    ],
    "gateway/model/conditions/condition.py: VARIABLES": [
        (
            "gateway/model/conditions/condition.py",
            '    "last_search": _STRING,\n',
            '    "last_search": _STRING,\n    "currency": _STRING,\n',
        ),
        ("gateway/model/conditions/condition.py", '    "last_search": STRING,\n', '    "last_search": STRING,\n    "currency": STRING,\n'),
        (
            "gateway/model/conditions/condition.py",
            '        "last_search": context',
            '        "currency": context.get("currency") or "",\n        "last_search": context',
        ),
    ],
    "gateway/model/decisions/explain.py: CONTEXT_FIELDS": [
        ("gateway/model/decisions/explain.py", '"last_search", "purchases"', '"last_search", "currency", "purchases"'),
    ],
    "gateway/api/types.py: UserContextType": [
        (
            "tests/unit/visitors/test_context_fields.py",
            'NOT_IN_THE_API: Final = {"last_search", ',
            'NOT_IN_THE_API: Final = {"last_search", "currency", ',
        ),
    ],
    "docs/context.md: the example": [("docs/context.md", '"last_search": "usb-c",', '"last_search": "usb-c", "currency": "EUR",')],
    "documented(": [
        (
            "docs/context.md",
            "| `updated_at` |",
            "| `currency` | string or null | the currency of the latest order |\n| `updated_at` |",
        ),
    ],
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project as it is in the work tree, without what the tests of a how-to do not need."""
    for path in tracked("*"):
        name = path.relative_to(ROOT)
        if path.is_file() and not any(str(name).startswith(left) or name.name == left for left in LEFT_OUT):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / name)
    return tmp_path


def apply(folder: Path, edits: list[Edit]) -> None:
    """Make the changes of a step. Each text must be there, so that a how-to that no longer fits is noticed."""
    for name, old, new in edits:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text, f"{name} has no {old!r}"
        (folder / name).write_text(text.replace(old, new, 1), encoding="utf-8")


def outcome(folder: Path, *tests: str) -> str:
    """What the tests print on the copy; "passed" if they pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", *tests]
    paths = f"{folder}:{folder / 'clients' / 'python'}"
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": paths, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    return "passed" if done.returncode == 0 else done.stdout + done.stderr


def follow(folder: Path, steps: Mapping[str, list[Edit]], *tests: str) -> None:
    """All steps: the tests pass. Without any one of them they fail and name the place."""
    for edits in steps.values():
        apply(folder, edits)
    assert outcome(folder, *tests) == "passed"
    for place, left_out in list(steps.items())[1:]:
        for name, old, new in reversed(left_out):
            apply(folder, [(name, new, old)])
        printed = outcome(folder, *tests)
        assert place in printed, f"without {place} the tests say:\n{printed[-3000:]}"
        apply(folder, left_out)


@pytest.mark.long
def test_a_kind_of_event_is_added_by_its_howto(copy: Path) -> None:
    """docs/howto/event-kind.md, with a wish list."""
    follow(copy, EVENT_KIND, "tests/unit/events/test_event_kinds.py")


@pytest.mark.long
def test_a_field_of_the_context_is_added_by_its_howto(copy: Path) -> None:
    """docs/howto/context-field.md, with the currency of the latest order."""
    follow(copy, CONTEXT_FIELD, "tests/unit/visitors/test_context_fields.py", "tests/unit/events/test_event_kinds.py")
