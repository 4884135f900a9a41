"""Asking a gateway from a command: one operation over HTTP with a secret key."""

from __future__ import annotations

from typing import Any, Final

import httpx

from gateway.commands.secret_key import secret_key

TIMEOUT_S: Final = 30.0


class GatewayRefuses(Exception):
    """No answer, or one with errors. `code` is that of the first error, None where there is no answer."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class GatewayClient:
    """One gateway, one secret key. Raises `NoSecretKey` when there is none to show."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url.rstrip("/") + "/graphql"
        self._headers = {"authorization": f"Bearer {secret_key(key, url)}", "accept": "application/json"}

    def run(self, query: str, **variables: Any) -> dict[str, Any]:
        """The `data` of an operation, or raise `GatewayRefuses`."""
        try:
            response = httpx.post(self._url, json={"query": query, "variables": variables}, headers=self._headers, timeout=TIMEOUT_S)
            answer = response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as problem:
            raise GatewayRefuses(f"no gateway answers at {self._url} ({problem}); start it, or name another by --url") from problem
        errors = answer.get("errors")
        if errors:
            code = (errors[0].get("extensions") or {}).get("code")
            raise GatewayRefuses(f"{code}: {errors[0].get('message')}", code)
        data: dict[str, Any] = answer["data"]
        return data
