"""Which pages may call the gateway: Origin, CORS, and protection against cross-site request forgery.

Credentials are sent in a header or a message, never in a cookie, so a forged request has none. The checks below are a second
line of defence: no foreign page can make this server do work, or read its answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

RawHeaders = list[tuple[bytes, bytes]]

STREAM_TOKEN: Final = "x-graphql-event-stream-token"  # noqa: S105  # the name of a header
"""graphql-sse, single connection mode: the header with the token of a reserved stream."""

PREFLIGHT_HEADERS: Final = (
    "authorization",
    "graphql-require-preflight",
    "apollo-require-preflight",
    "x-apollo-operation-name",
    "x-requested-with",
    STREAM_TOKEN,
)
"""A page can set these only after a successful preflight. `Accept` and `Last-Event-ID` are not among them."""

_ALLOWED_HEADERS: Final = ", ".join((*PREFLIGHT_HEADERS, "content-type", "traceparent", "last-event-id"))
_PREFLIGHT_LIFETIME_S: Final = 7200


def check_origin_setting(origin: str) -> None:
    """Raise ValueError unless `origin` is written as browsers send it: scheme, host, and the port unless it is the default."""
    parts = urlsplit(origin)
    bare_origin = f"{parts.scheme}://{parts.netloc}"
    default_port = (parts.scheme, parts.port) in {("http", 80), ("https", 443)}
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in origin or default_port or origin != bare_origin.lower():
        raise ValueError(f"allowed origin {origin!r}: write it as browsers send it, like https://shop.example or http://localhost:8080")


def origin_allowed(origin: str | None, allowed: frozenset[str]) -> bool:
    """Whether a WebSocket with this Origin may open. Without one the client is not a browser; otherwise it must be allowed."""
    return origin is None or origin in allowed


def proves_no_forgery(headers: Mapping[str, str]) -> bool:
    """Whether a GET cannot come from a foreign page: it has a header that forces a preflight, or the browser itself says that
    it comes from our own origin (`Sec-Fetch-Site`, which pages cannot set)."""
    if any(name in headers for name in PREFLIGHT_HEADERS):
        return True
    if headers.get("content-type", "").split(";")[0].strip().lower() == "application/json":
        return True
    return headers.get("sec-fetch-site") == "same-origin"


def cors_headers(origin: str | None, allowed: frozenset[str]) -> RawHeaders:
    """The headers of every answer: `Vary`, and the origin if it is allowed."""
    headers: RawHeaders = [(b"vary", b"Origin, Accept, Authorization")]
    if origin is not None and origin in allowed:
        headers.append((b"access-control-allow-origin", origin.encode("latin-1")))
        headers.append((b"access-control-expose-headers", b"retry-after"))
    return headers


def preflight_headers(origin: str | None, allowed: frozenset[str], methods: Iterable[str]) -> RawHeaders:
    """The headers of the answer to a preflight. They contain no permission for an origin that is not allowed."""
    headers = cors_headers(origin, allowed)
    if len(headers) > 1:
        headers.append((b"access-control-allow-methods", ", ".join(methods).encode()))
        headers.append((b"access-control-allow-headers", _ALLOWED_HEADERS.encode()))
        headers.append((b"access-control-max-age", str(_PREFLIGHT_LIFETIME_S).encode()))
    return headers
