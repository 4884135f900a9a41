"""Which secret key a command uses for a gateway."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

STACK_FILE: Final = Path(".local") / "stack.json"
"""The addresses and keys of a running local stack, relative to the folder in which a command is run."""
VARIABLE: Final = "GATEWAY_SECRET_KEYS"


class NoSecretKey(Exception):
    """There is no secret key; the text says how to give one."""


def secret_key(key_option: str | None, url: str) -> str:
    """The value of --key; otherwise the first of GATEWAY_SECRET_KEYS; otherwise the local stack's key if `url` is its gateway.

    Raises `NoSecretKey`. A key of the local stack is never sent to another address.
    """
    if key_option is not None:
        return key_option
    if VARIABLE in os.environ:
        return _first_key(os.environ[VARIABLE])
    try:
        stack = json.loads(STACK_FILE.read_text())
        stack_url, key = str(stack["gateway"]["url"]), str(stack["keys"]["secret"])
    except FileNotFoundError:
        raise NoSecretKey(f"a secret key is needed: use --key, or set {VARIABLE}") from None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise NoSecretKey(f"a secret key is needed, and {STACK_FILE} has none ({problem!r}): use --key") from problem
    if stack_url.rstrip("/") != url.rstrip("/"):
        raise NoSecretKey(f"a secret key is needed for {url}: use --key, or the local stack's gateway with --url {stack_url}")
    return key


def _first_key(text: str) -> str:
    try:
        keys = json.loads(text)
    except ValueError:
        keys = None
    if not isinstance(keys, list) or not keys or not isinstance(keys[0], str):
        raise NoSecretKey(f'{VARIABLE} must be a JSON list of keys, such as ["sk_…"]')
    return keys[0]
