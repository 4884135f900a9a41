"""The GraphQL documents of the client: the files in `operations/`, one operation each, with the fragments they spread.

`gateway documents build clients/python/personalization_gateway/operations` builds a manifest of exactly these documents, so that a
gateway that only accepts known documents accepts the client.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "operations"
_SPREAD: Final = re.compile(r"\.\.\.(\w+)")


def _text(name: str) -> str:
    """An operation's file followed by its fragments, with empty lines between them."""
    parts = [_read(name)]
    seen: set[str] = set()
    for part in parts:  # grows while fragments spread others
        for fragment in _SPREAD.findall(part):
            if fragment not in seen:
                seen.add(fragment)
                parts.append(_read(fragment.lower()))
    return "\n\n".join(parts)


def _read(name: str) -> str:
    return (FOLDER / f"{name}.graphql").read_text(encoding="utf-8").strip()


# Read once, when the module is loaded, so that no page waits for a disk.
_TEXTS: Final = {path.stem: _text(path.stem) for path in FOLDER.glob("*.graphql")}
_IDS: Final = {name: "sha256:" + hashlib.sha256(text.encode()).hexdigest() for name, text in _TEXTS.items()}


def document(name: str) -> str:
    """The text of an operation, by the name of its file."""
    return _TEXTS[name]


def document_id(name: str) -> str:
    """The hash that identifies the document to a gateway."""
    return _IDS[name]
