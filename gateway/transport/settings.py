"""What the three transports (HTTP, WebSocket, SSE) have in common: their settings and their seams to the rest."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from gateway.transport.cache_control import PublicFields
from gateway.transport.cors import check_origin_setting
from gateway.transport.documents.execution import Execution
from gateway.transport.documents.limits import DocumentLimits
from gateway.transport.documents.persisted_documents import PersistedDocuments


class CallerCredential(Protocol):
    """Who calls. Opaque to the transports, but for the moment at which it ends."""

    @property
    def expires_at(self) -> float | None:
        """Unix seconds after which open subscriptions end; None: never."""


Authenticate = Callable[[str | None], CallerCredential]
"""From the value of `Authorization` (None: there is none) to a credential.

Raises `Unauthenticated` for a malformed, forged or expired one, never for None: the resolvers judge that.
"""

TransportName = Literal["http", "websocket", "sse"]


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What a context is made from, once an operation."""

    credential: CallerCredential
    transport: TransportName
    traceparent: str | None
    """W3C trace context, well-formed or None."""
    client_address: str
    last_event_id: str | None = None
    """SSE only: the last event id that a reconnecting client has seen."""


MakeContext = Callable[[RequestInfo], object]
"""Makes `info.context` of one operation."""

MakeEventId = Callable[[Mapping[str, Any]], str | None]
"""From the payload of a `next` event (`data`, `errors`) to the SSE event id that names it, or None."""


def no_event_id(_payload: Mapping[str, Any]) -> str | None:
    """The default `MakeEventId`: events have no id."""
    return None


def nobody_is_trusted(_credential: CallerCredential) -> bool:
    """The default of `is_trusted` and `is_public`."""
    return False


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Limits and deadlines of the transports. Times in seconds, sizes in bytes. A wrong origin raises ValueError."""

    allowed_origins: frozenset[str] = frozenset()
    """Origins of pages that may read answers (CORS) and open WebSockets, as `https://shop.example[:port]`."""
    production: bool = False
    """Introspection and "Did you mean" are off."""
    limits: DocumentLimits = field(default_factory=DocumentLimits)
    document_cache_entries: int = 1024
    """Parsed and validated documents that are kept; the least recently used goes first."""
    manifest: Mapping[str, str] = field(default_factory=dict)
    """Trusted documents by id."""
    only_manifest: bool = False
    """Other documents are refused."""
    remembered_documents: int = 1024
    """Documents that clients registered by their hash; the least recently used goes first."""
    max_body_bytes: int = 256 * 1024
    max_trusted_body_bytes: int = 256 * 1024
    """… of a caller whom `is_trusted` lets send more; the body's length must be announced."""
    is_trusted: Callable[[CallerCredential], bool] = nobody_is_trusted
    body_deadline_s: float = 10.0
    """A request body must have arrived within."""
    max_connections: int = 10_000
    """WebSockets and event streams open at once in this process."""
    max_connections_per_address: int = 500
    """… and from one address; many visitors may share one."""
    send_deadline_s: float = 10.0
    """A client that does not take a message within is closed."""
    shutdown_deadline_s: float = 5.0
    init_timeout_s: float = 5.0
    """WebSocket: `connection_init` must have arrived within."""
    ping_interval_s: float = 12.0
    """WebSocket: a socket silent for two of these is closed."""
    max_frame_bytes: int = 64 * 1024
    max_operations_per_connection: int = 50
    messages_per_second: float = 50.0
    message_burst: int = 200
    heartbeat_s: float = 12.0
    """SSE: a comment at least this often, so that proxies keep the stream open."""
    make_event_id: MakeEventId = no_event_id
    reservation_s: float = 10.0
    """SSE, single connection mode: a reserved stream must be opened within."""
    same_caller: Callable[[CallerCredential, CallerCredential], bool] = operator.eq
    """Whether two credentials are of the same caller: a reserved stream serves nobody else."""
    is_public: Callable[[CallerCredential], bool] = nobody_is_trusted
    """Whether what this caller sees of `public_fields` everybody may see."""
    public_fields: PublicFields = field(default_factory=dict)
    public_cache_s: int = 60
    """Shared caches may keep a public answer to a GET of a persisted document so long; 0: not at all."""

    def __post_init__(self) -> None:
        for origin in self.allowed_origins:
            check_origin_setting(origin)


@dataclass(frozen=True, slots=True)
class GraphQLService:
    """What every transport needs to serve operations."""

    execution: Execution
    documents: PersistedDocuments
    settings: TransportSettings
    authenticate: Authenticate
    make_context: MakeContext
