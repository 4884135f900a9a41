"""Which secret key a command shows to a gateway."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

STACK_FILE: Final = Path(".local") / "stack.json"
"""Where a running local stack says its addresses and keys, under the folder a command is called in."""
VARIABLE: Final = "GATEWAY_SECRET_KEYS"


class NoSecretKey(Exception):
    """No secret key can be found; the text says where one may be given."""


def secret_key(given: str | None, url: str) -> str:
    """The key given, else the first of GATEWAY_SECRET_KEYS, else that of the local stack if `url` is its gateway.

    Raises `NoSecretKey`. A key of the local stack is never shown to another address.
    """
    if given is not None:
        return given
    if VARIABLE in os.environ:
        return _first_of(os.environ[VARIABLE])
    try:
        stack = json.loads(STACK_FILE.read_text())
        stack_url, key = str(stack["gateway"]["url"]), str(stack["keys"]["secret"])
    except FileNotFoundError:
        raise NoSecretKey(f"a secret key is needed: give --key, or set {VARIABLE}") from None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise NoSecretKey(f"a secret key is needed, and {STACK_FILE} has none ({problem!r}): give --key") from problem
    if stack_url.rstrip("/") != url.rstrip("/"):
        raise NoSecretKey(f"a secret key is needed for {url}: give --key; or name the local stack's gateway, --url {stack_url}")
    return key


def _first_of(text: str) -> str:
    try:
        keys = json.loads(text)
    except ValueError:
        keys = None
    if not isinstance(keys, list) or not keys or not isinstance(keys[0], str):
        raise NoSecretKey(f'{VARIABLE} must be a JSON list of keys, such as ["sk_…"]')
    return keys[0]
