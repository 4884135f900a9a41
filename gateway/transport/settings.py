"""What the three transports (HTTP, WebSocket, SSE) share: their settings, and their interfaces to the rest of the gateway."""

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
    """The caller's credential. The transports know only when it expires."""

    @property
    def expires_at(self) -> float | None:
        """When open subscriptions end, as unix time; None: never."""


Authenticate = Callable[[str | None], CallerCredential]
"""From the value of `Authorization` (None: there is none) to a credential.

Raises `Unauthenticated` for a malformed, forged or expired one, but never for None: the resolvers decide about that.
"""

TransportName = Literal["http", "websocket", "sse"]


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What the context of an operation is created from."""

    credential: CallerCredential
    transport: TransportName
    traceparent: str | None
    """The W3C trace context, well-formed or None."""
    client_address: str
    last_event_id: str | None = None
    """SSE only: the last event id that a reconnecting client received."""


MakeContext = Callable[[RequestInfo], object]
"""Creates `info.context` of one operation."""

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
    """Limits and deadlines of the transports. Times are in seconds, sizes in bytes. Raises ValueError for a malformed origin."""

    allowed_origins: frozenset[str] = frozenset()
    """Origins of pages that may read answers (CORS) and open WebSockets, as `https://shop.example[:port]`."""
    production: bool = False
    """Turns introspection and "Did you mean" off."""
    limits: DocumentLimits = field(default_factory=DocumentLimits)
    document_cache_entries: int = 1024
    """How many parsed and validated documents are kept; the least recently used is dropped first."""
    manifest: Mapping[str, str] = field(default_factory=dict)
    """The trusted documents by id."""
    only_manifest: bool = False
    """Refuse all other documents."""
    remembered_documents: int = 1024
    """How many documents registered by clients are kept; the least recently used is dropped first."""
    max_body_bytes: int = 256 * 1024
    max_trusted_body_bytes: int = 256 * 1024
    """The limit for a caller that `is_trusted` accepts, if it announces the length of the body."""
    is_trusted: Callable[[CallerCredential], bool] = nobody_is_trusted
    body_deadline_s: float = 10.0
    """The time for a request body to arrive."""
    max_connections: int = 10_000
    """How many WebSockets and event streams may be open at once in this process."""
    max_connections_per_address: int = 500
    """How many of them from one address. Many visitors may share an address."""
    send_deadline_s: float = 10.0
    """A client that does not read a message within this time is disconnected."""
    shutdown_deadline_s: float = 5.0
    init_timeout_s: float = 5.0
    """WebSocket: the time for `connection_init` to arrive."""
    ping_interval_s: float = 12.0
    """WebSocket: a socket that is silent for two intervals is closed."""
    max_frame_bytes: int = 64 * 1024
    max_operations_per_connection: int = 50
    messages_per_second: float = 50.0
    message_burst: int = 200
    heartbeat_s: float = 12.0
    """SSE: a comment is sent at least this often, so that proxies keep the stream open."""
    make_event_id: MakeEventId = no_event_id
    reservation_s: float = 10.0
    """SSE, single connection mode: the time for a reserved stream to be opened."""
    same_caller: Callable[[CallerCredential, CallerCredential], bool] = operator.eq
    """Whether two credentials belong to the same caller: a reserved stream serves only the caller that reserved it."""
    is_public: Callable[[CallerCredential], bool] = nobody_is_trusted
    """Whether everyone may see what this caller sees of `public_fields`."""
    public_fields: PublicFields = field(default_factory=dict)
    public_cache_s: int = 60
    """How long shared caches may keep a public answer to a GET of a persisted document; 0: not at all."""

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
