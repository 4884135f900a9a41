"""Requests and answers without I/O: what is sent for a call, and what the gateway's answer to it means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.client.documents import document, document_id
from gateway.client.errors import INTERNAL_SERVER_ERROR, NoAnswer, refusal
from gateway.client.inputs import as_json

_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One operation: the name of its file in `operations/`, and the root field of the answer that holds what was asked for."""

    operation: str
    root: str
    bearer: str = field(repr=False)
    variables: Mapping[str, Any] = field(repr=False)

    def headers(self) -> dict[str, str]:
        """Headers of the request."""
        # A token may come from a cookie as it is: what no header can hold is for the gateway to refuse.
        shown = self.bearer.encode("ascii", "replace").decode()
        return {"authorization": f"Bearer {shown}", "accept": _JSON, "content-type": _JSON}

    def body(self) -> bytes:
        """Body of the request. Raises TypeError for a value that JSON does not have."""
        name = "".join(part.capitalize() for part in self.operation.split("_"))
        # Text and hash together are understood at once by every gateway, whether it knows the document or not.
        request = {
            "operationName": name,
            "documentId": document_id(self.operation),
            "query": document(self.operation),
            "variables": {key: value for key, value in self.variables.items() if value is not None},
        }
        return json.dumps(request, default=as_json, separators=(",", ":")).encode()


def read_answer(call: Call, status: int, body: bytes) -> object:
    """What the field of the call holds. Raises `Refused`, or `NoAnswer` for what is no answer of GraphQL."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise NoAnswer("unusable answer", f"status {status}, no JSON") from None
    if not isinstance(answer, dict):
        raise NoAnswer("unusable answer", f"status {status}, no JSON object")
    data = answer.get("data")
    found = data.get(call.root) if isinstance(data, dict) else None
    errors = answer.get("errors")
    # An error deeper inside (decisions of a batch that was accepted) takes nothing from what stands beside it.
    if errors and found is None:
        raise _refusal(errors)
    if not errors and not isinstance(data, dict):
        raise NoAnswer("unusable answer", f"status {status}, no data")
    return found


def _refusal(errors: object) -> Exception:
    first = errors[0] if isinstance(errors, list) else None
    if not isinstance(first, dict):
        return NoAnswer("unusable answer", "errors of another form")
    extensions = first.get("extensions")
    extensions = extensions if isinstance(extensions, dict) else {}
    code, message = extensions.get("code"), first.get("message")
    where, retry_after_ms = extensions.get("field"), extensions.get("retryAfterMs")
    return refusal(
        code if isinstance(code, str) else INTERNAL_SERVER_ERROR,
        message if isinstance(message, str) else "",
        field=where if isinstance(where, str) else None,
        retry_after_ms=retry_after_ms if isinstance(retry_after_ms, int) else None,
    )
