"""Opaque tokens: a tuple of plain values as base64url of msgpack, signed where nobody else may make one.

    base64url( msgpack body + HMAC-SHA256 over purpose and body, cut to some bytes )     without padding

The purpose is part of what is signed, so that a token of one kind is never accepted as one of another kind.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack


class InvalidToken(ValueError):
    """A string that is not a token of the expected kind, or that was changed."""


def pack(values: Sequence[Any]) -> str:
    """An unsigned token of some values."""
    return _text_of(bytes(msgpack.packb(values)))


def unpack(token: str) -> list[Any]:
    """The inverse of `pack`. Raises `InvalidToken`."""
    return _values_of(_bytes_of(token))


@dataclass(frozen=True, slots=True)
class Seal:
    """How tokens of one kind are signed: their purpose, and the length of the MAC in bytes."""

    purpose: bytes
    mac_bytes: int

    def pack(self, key: bytes, values: Sequence[Any]) -> str:
        """A signed token of some values."""
        body = bytes(msgpack.packb(values))
        return _text_of(body + self._mac(key, body))

    def unpack(self, key: bytes, token: str) -> list[Any]:
        """The values of a token that was signed with `key`. Raises `InvalidToken`."""
        raw = _bytes_of(token)
        body, mac = raw[: -self.mac_bytes], raw[-self.mac_bytes :]
        if not hmac.compare_digest(self._mac(key, body), mac):
            raise InvalidToken("the signature does not fit")
        return _values_of(body)

    def _mac(self, key: bytes, body: bytes) -> bytes:
        return hmac.new(key, self.purpose + b":" + body, hashlib.sha256).digest()[: self.mac_bytes]


def _text_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes_of(token: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (ValueError, binascii.Error) as problem:
        raise InvalidToken("not base64url") from problem
    if _text_of(raw) != token:
        # Python ignores foreign characters and spare bits, but each value must have only one token.
        raise InvalidToken("not the only form of its bytes")
    return raw


def _values_of(body: bytes) -> list[Any]:
    try:
        values = msgpack.unpackb(body)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as problem:
        raise InvalidToken("not msgpack") from problem
    if not isinstance(values, list):
        raise InvalidToken("not a list of values")
    return values
