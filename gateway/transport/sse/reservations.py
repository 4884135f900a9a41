"""graphql-sse's single connection mode (graphql-sse, PROTOCOL.md), server side, without I/O.

    PUT ──▶ RESERVED ──GET with the token──▶ OPEN ──the stream ends──▶ gone (404)
               │ not opened in time
               └──────────────────────────────────────────────────────▶ gone (404)

Operations may start as soon as there is a reservation; their results wait for the stream. A token is of use only beside
the credential it was given for: alone, from a log or a history, it opens nothing. One process knows it: with several, what
stands before them must send a client to the same one.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.errors import Conflict, NotFound, Throttled
from gateway.transport.settings import CallerCredential

SameCaller = Callable[[CallerCredential, CallerCredential], bool]


@dataclass(eq=False, slots=True)
class Reservation:
    """A stream that is awaited or open, and the operations whose results it carries."""

    token: str
    credential: CallerCredential
    address: str
    is_open: bool = False
    operations: dict[str, int] = field(default_factory=dict)
    """Keys of running operations, by the client's ids."""
    last_key: int = 0

    def begin(self, operation_id: str, most: int) -> int:
        """A key for a new operation. Raises Conflict when the id is in use, Throttled past `most` at once."""
        if operation_id in self.operations:
            raise Conflict("An operation with this operationId is running: give each its own.")
        if len(self.operations) >= most:
            raise Throttled(f"Too many operations on this stream, at most {most} at once.", retry_after_ms=1000)
        self.last_key += 1
        self.operations[operation_id] = self.last_key
        return self.last_key

    def runs(self, operation_id: str, key: int) -> bool:
        """Whether results of this operation are still wanted: a stopped id may have been used again."""
        return self.operations.get(operation_id) == key

    def end(self, operation_id: str, key: int) -> None:
        """The operation has given all its results."""
        if self.runs(operation_id, key):
            del self.operations[operation_id]

    def stop(self, operation_id: str) -> int | None:
        """The client no longer wants it: the key of what must be stopped; None when it has ended."""
        return self.operations.pop(operation_id, None)


class Reservations:
    """All reservations of a process, bounded in number; the caller bounds them in time by `cancel`."""

    def __init__(self, most: int, most_per_address: int, same_caller: SameCaller) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._same_caller = same_caller
        self._by_token: dict[str, Reservation] = {}
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_token)

    def reserve(self, credential: CallerCredential, address: str) -> Reservation:
        """A reservation with a new token. Raises Throttled when there are too many."""
        if len(self._by_token) >= self._most or self._by_address.get(address, 0) >= self._most_per_address:
            raise Throttled("Too many open connections: try again later.", retry_after_ms=5000)
        reservation = Reservation(secrets.token_urlsafe(24), credential, address)
        self._by_token[reservation.token] = reservation
        self._by_address[address] += 1
        return reservation

    def find(self, token: str, credential: CallerCredential) -> Reservation:
        """The reservation of a token. Raises NotFound, also when it was given to another caller."""
        found = self._by_token.get(token)
        if found is None or not self._same_caller(found.credential, credential):
            raise NotFound("There is no such stream (any more): reserve another one by PUT.")
        return found

    def open(self, token: str, credential: CallerCredential) -> Reservation:
        """The stream comes. Raises NotFound, and Conflict when it is open already."""
        found = self.find(token, credential)
        if found.is_open:
            raise Conflict("This stream is open already: a reservation holds for one connection.")
        found.is_open = True
        return found

    def cancel(self, reservation: Reservation) -> None:
        """The stream has ended, or did not come in time; nothing is known of its token from now on."""
        if self._by_token.pop(reservation.token, None) is not None:
            self._by_address[reservation.address] -= 1
            if not self._by_address[reservation.address]:
                del self._by_address[reservation.address]
        reservation.operations.clear()
