"""graphql-sse's single connection mode (graphql-sse, PROTOCOL.md), server side, without I/O.

    PUT ──▶ RESERVED ──GET with the token──▶ OPEN ──the stream ends──▶ gone (404)
               │ not opened in time
               └──────────────────────────────────────────────────────▶ gone (404)

Operations may start as soon as the reservation exists; their results wait for the stream. A token works only with the
credential that reserved it, so a token found in a log or a history opens nothing. Only one process knows a reservation: with
several processes, the load balancer must send a client to the same one.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.errors import Conflict, NotFound, Throttled
from gateway.transport.connections import TOO_MANY_CONNECTIONS
from gateway.transport.settings import CallerCredential

SameCaller = Callable[[CallerCredential, CallerCredential], bool]


@dataclass(eq=False, slots=True)
class Reservation:
    """A reserved or open stream, and the operations whose results it carries."""

    token: str
    credential: CallerCredential
    address: str
    is_open: bool = False
    operations: dict[str, int] = field(default_factory=dict)
    """The keys of running operations, by the client's ids."""
    last_key: int = 0

    def begin(self, operation_id: str, max_operations: int) -> int:
        """A key for a new operation. Raises Conflict if the id is in use, Throttled if `max_operations` are running."""
        if operation_id in self.operations:
            raise Conflict("An operation with this operationId is already running: use a new id for each operation.")
        if len(self.operations) >= max_operations:
            raise Throttled(f"Too many operations on this stream: at most {max_operations} at once.", retry_after_ms=1000)
        self.last_key += 1
        self.operations[operation_id] = self.last_key
        return self.last_key

    def runs(self, operation_id: str, key: int) -> bool:
        """Whether this operation is still running: its id may have been stopped, and used again with another key."""
        return self.operations.get(operation_id) == key

    def end(self, operation_id: str, key: int) -> None:
        """Note that the operation has sent all its results."""
        if self.runs(operation_id, key):
            del self.operations[operation_id]

    def stop(self, operation_id: str) -> int | None:
        """Stop an operation for the client. Returns its key, or None if it has already ended."""
        return self.operations.pop(operation_id, None)


class Reservations:
    """All reservations of a process. Their number is limited here; the caller limits their time by `cancel`."""

    def __init__(self, max_reservations: int, max_per_address: int, same_caller: SameCaller) -> None:
        self._max_reservations = max_reservations
        self._max_per_address = max_per_address
        self._same_caller = same_caller
        self._by_token: dict[str, Reservation] = {}
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_token)

    def reserve(self, credential: CallerCredential, address: str) -> Reservation:
        """A reservation with a new token. Raises Throttled if there are too many."""
        if len(self._by_token) >= self._max_reservations or self._by_address.get(address, 0) >= self._max_per_address:
            raise Throttled(TOO_MANY_CONNECTIONS, retry_after_ms=5000)
        reservation = Reservation(secrets.token_urlsafe(24), credential, address)
        self._by_token[reservation.token] = reservation
        self._by_address[address] += 1
        return reservation

    def find(self, token: str, credential: CallerCredential) -> Reservation:
        """The reservation of a token. Raises NotFound, even if it exists but belongs to another caller."""
        reservation = self._by_token.get(token)
        if reservation is None or not self._same_caller(reservation.credential, credential):
            raise NotFound("This stream does not exist, or no longer exists: reserve another one by PUT.")
        return reservation

    def open(self, token: str, credential: CallerCredential) -> Reservation:
        """Open the stream. Raises NotFound, and Conflict if it is already open."""
        reservation = self.find(token, credential)
        if reservation.is_open:
            raise Conflict("This stream is already open: a reservation is valid for one connection.")
        reservation.is_open = True
        return reservation

    def cancel(self, reservation: Reservation) -> None:
        """Forget a stream that has ended, or was not opened in time. Its token is unknown from now on."""
        if self._by_token.pop(reservation.token, None) is not None:
            self._by_address[reservation.address] -= 1
            if not self._by_address[reservation.address]:
                del self._by_address[reservation.address]
        reservation.operations.clear()
