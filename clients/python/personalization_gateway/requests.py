"""Requests and answers without I/O: what is sent for a call, and what the gateway's answer means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from personalization_gateway.documents import document, document_id
from personalization_gateway.errors import INTERNAL_SERVER_ERROR, NoAnswer, refusal
from personalization_gateway.inputs import as_json

_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One operation: the name of its file in `operations/`, and the root field of the answer that has the result."""

    operation: str
    root: str
    bearer: str = field(repr=False)
    variables: Mapping[str, Any] = field(repr=False)

    def headers(self) -> dict[str, str]:
        """The headers of the request."""
        # A token may come unchecked from a cookie: what a header cannot hold is replaced, and the gateway refuses it.
        credential = self.bearer.encode("ascii", "replace").decode()
        return {"authorization": f"Bearer {credential}", "accept": _JSON, "content-type": _JSON}

    def body(self) -> bytes:
        """The body of the request. Raises TypeError for a value that cannot be written as JSON."""
        name = "".join(part.capitalize() for part in self.operation.split("_"))
        # Every gateway understands text and hash together, whether it knows the document or not.
        request = {
            "operationName": name,
            "documentId": document_id(self.operation),
            "query": document(self.operation),
            "variables": {key: value for key, value in self.variables.items() if value is not None},
        }
        return json.dumps(request, default=as_json, separators=(",", ":")).encode()


def read_answer(call: ApiCall, status: int, body: bytes) -> object:
    """The value of the call's root field. Raises `Refused`, or `NoAnswer` for a body that is not a GraphQL answer."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise NoAnswer("unusable answer", f"status {status}, not JSON") from None
    if not isinstance(answer, dict):
        raise NoAnswer("unusable answer", f"status {status}, not a JSON object")
    data = answer.get("data")
    value = data.get(call.root) if isinstance(data, dict) else None
    errors = answer.get("errors")
    # An error further inside (decisions of a batch that was accepted) does not affect the rest of the value.
    if errors and value is None:
        raise _refusal(errors)
    if not errors and not isinstance(data, dict):
        raise NoAnswer("unusable answer", f"status {status}, no data")
    return value


def _refusal(errors: object) -> Exception:
    first = errors[0] if isinstance(errors, list) else None
    if not isinstance(first, dict):
        return NoAnswer("unusable answer", "errors have an unexpected form")
    extensions = first.get("extensions")
    extensions = extensions if isinstance(extensions, dict) else {}
    code, message = extensions.get("code"), first.get("message")
    field_name, retry_after_ms = extensions.get("field"), extensions.get("retryAfterMs")
    return refusal(
        code if isinstance(code, str) else INTERNAL_SERVER_ERROR,
        message if isinstance(message, str) else "",
        field=field_name if isinstance(field_name, str) else None,
        retry_after_ms=retry_after_ms if isinstance(retry_after_ms, int) else None,
    )
