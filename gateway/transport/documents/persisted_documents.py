"""Persisted documents: the operation that a request names by a hash (GraphQL over HTTP, appendix A; Apollo's APQ).

    hash in the manifest ──────────────────────────────▶ run                    (trusted: checked at start, never dropped)
    hash alone, remembered ────────────────────────────▶ run
    hash alone, unknown ───────▶ PERSISTED_QUERY_NOT_FOUND: the client sends it again with the text
    hash and text that agree ──────────────────────────▶ run, remembered once it is valid
    hash and text that differ ─▶ BAD_REQUEST

With `only_manifest` nothing is remembered, and every other text is FORBIDDEN.

Documents that clients register are kept in this process only. A miss costs a client one more request. A store shared by all
gateways would let anyone with a publishable key write into it, and would be one more part that can fail.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

import strawberry

from gateway.errors import ErrorCode
from gateway.transport.documents.execution import Execution, GraphQLRequest, PreparedDocument
from gateway.transport.documents.limits import DocumentLimits
from gateway.transport.documents.manifest import InvalidManifest, document_id
from gateway.transport.errors import RequestRefused, refuse

NOT_FOUND: Final = "PersistedQueryNotFound"
"""The message that clients of Apollo's protocol look for, word for word."""
_ONLY_MANIFEST: Final = "This gateway runs only the documents in its manifest, and this is not one of them: see `gateway documents build`."


class PersistedDocuments:
    """Finds the prepared document of a request. Raises InvalidManifest if a trusted document is invalid."""

    def __init__(self, execution: Execution, manifest: Mapping[str, str], *, only_manifest: bool, remembered_entries: int) -> None:
        self._execution = execution
        self._trusted = _prepare_all(execution, manifest)
        self._only_manifest = only_manifest
        self._remembered: OrderedDict[str, str] = OrderedDict()
        self._remembered_entries = remembered_entries

    def prepare(self, request: GraphQLRequest) -> PreparedDocument:
        """The document of the request, parsed, checked and validated. Raises RequestRefused."""
        text, sha256 = request.query, request.document_sha256
        if text is None:
            return self._by_hash(sha256 or "")
        if not text:
            raise refuse("The parameter query must not be empty.", ErrorCode.BAD_REQUEST)
        if sha256 is None and not self._only_manifest:
            return self._execution.prepare(text)
        actual = _sha256(text)
        if sha256 is not None and sha256 != actual:
            raise refuse("The hash that names the document is not the SHA-256 of the query sent with it.", ErrorCode.BAD_REQUEST)
        trusted = self._trusted.get(actual)
        if trusted is not None:
            return trusted
        if self._only_manifest:
            raise refuse(_ONLY_MANIFEST, ErrorCode.FORBIDDEN, 403)
        prepared = self._execution.prepare(text)
        self._remember(actual, text)
        return prepared

    def _by_hash(self, sha256: str) -> PreparedDocument:
        trusted = self._trusted.get(sha256)
        if trusted is not None:
            return trusted
        text = self._remembered.get(sha256)
        if text is None:
            raise refuse(_ONLY_MANIFEST if self._only_manifest else NOT_FOUND, ErrorCode.PERSISTED_QUERY_NOT_FOUND)
        self._remembered.move_to_end(sha256)
        return self._execution.prepare(text)

    def _remember(self, sha256: str, text: str) -> None:
        """Remember a valid document. So an entry is at most as large as a document may be."""
        self._remembered[sha256] = text
        self._remembered.move_to_end(sha256)
        if len(self._remembered) > self._remembered_entries:
            self._remembered.popitem(last=False)


def check_documents(schema: strawberry.Schema, texts: Iterable[str], *, production: bool) -> None:
    """Raise InvalidManifest unless all documents are valid and within the limits of a gateway."""
    execution = Execution(schema, limits=DocumentLimits(), production=production, cache_entries=1)
    _prepare_all(execution, {document_id(text): text for text in texts})


def _sha256(text: str) -> str:
    # JSON can contain a lone surrogate, which is not valid text: such a document never parses, so its hash does not matter.
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _prepare_all(execution: Execution, manifest: Mapping[str, str]) -> dict[str, PreparedDocument]:
    prepared: dict[str, PreparedDocument] = {}
    problems: list[str] = []
    for text in manifest.values():
        try:
            prepared[_sha256(text)] = execution.check(text)
        except RequestRefused as refusal:
            problems += [f"{document_id(text)}: {entry['message']} In: {' '.join(text.split())[:80]}" for entry in refusal.errors]
    if problems:
        raise InvalidManifest(problems)
    return prepared
