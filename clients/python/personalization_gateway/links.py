"""Which links are allowed in a page."""

from __future__ import annotations

import re
from typing import Final

# http(s) with a host, or relative: a path, a query, a fragment, a first segment without a colon (it would be a scheme).
# `//host` and `/\\host` would lead to another site, so they are not paths.
_SAFE: Final = re.compile(r"(?:https?://[^\s\\/?#]|/(?![/\\])|[?#]|[\w.-]+(?:[/?#]|$))[^\s\\\x00-\x1f\x7f]*", re.IGNORECASE)


def safe_link(url: str | None) -> str | None:
    """`url` if it is http, https or relative; otherwise None (`javascript:`, for example)."""
    return url if url and _SAFE.fullmatch(url) else None
