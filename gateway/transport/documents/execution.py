"""Executes operations of a Strawberry schema.

graphql-core's executor is called directly, with Strawberry's executor class: custom scalars, enums and `info.context` work as
usual, but the layers that Strawberry adds (extensions, a context manager per phase) are skipped. A document is parsed, checked
against the limits and validated once, then cached.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final

import strawberry
from graphql import (
    DocumentNode,
    ExecutionResult,
    Executor,
    GraphQLError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    create_source_event_stream,
    parse,
    specified_rules,
    validate,
)

from gateway.errors import ApiError, ErrorCode, Throttled, Unavailable
from gateway.transport.documents.limits import DocumentLimits, DocumentTooLarge, check_document, check_text
from gateway.transport.errors import ErrorEntry, RequestRefused, document_entries, entry_of, execution_entry, refuse, root_cause

_MAX_VALIDATION_ERRORS: Final = 20


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """The parameters of a request (GraphQL over HTTP, section 5.1 and appendix A), with their types checked.

    At least one of `query` and `document_sha256` is set; `gateway.transport.documents.persisted_documents` finds the text.
    """

    query: str | None
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None
    document_sha256: str | None = None
    """The hash that names the document, as 64 lower-case hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One result as it is sent: `data`, `errors`."""

    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A valid document that is within the limits."""

    document: DocumentNode
    operations: Mapping[str, OperationType]

    def operation_type(self, name: str | None) -> OperationType:
        """The type of the operation that `name` selects. Raises RequestRefused if it selects none."""
        if name is not None:
            kind = self.operations.get(name)
            if kind is None:
                raise refuse("The document has no operation with that operationName.", ErrorCode.OPERATION_RESOLUTION_FAILURE)
            return kind
        if len(self.operations) != 1:
            raise refuse("Select the operation to run by operationName.", ErrorCode.OPERATION_RESOLUTION_FAILURE)
        return next(iter(self.operations.values()))


class StreamFailed(Exception):
    """A subscription ended with an error; `entry` is the error for the caller.

    `started`: it had sent a result before. `retry`: opening it again may help, so the client must not take it as complete.
    `unexpected`: a defect of ours.
    """

    def __init__(self, error: Exception, started: bool) -> None:
        cause = root_cause(error)
        super().__init__(str(cause))
        self.entry: ErrorEntry = entry_of(error)
        self.code: str = self.entry["extensions"]["code"]
        self.started = started
        self.unexpected = not isinstance(cause, ApiError)
        self.retry = self.unexpected or isinstance(cause, Unavailable | Throttled)


class ResponseStream:
    """The results of a subscription, pulled one at a time: the next one is requested only after the last one was sent."""

    def __init__(self, executor: Executor[Any], source: AsyncIterator[Any]) -> None:
        self._executor = executor
        self._source = source
        self._started = False

    async def next(self) -> Reply | None:
        """The next result; None after the last one. Raises StreamFailed if the resolver raised."""
        try:
            event = await anext(self._source)
            result = self._executor.build_per_event_executor(event).execute_operation(False)
            if isawaitable(result):
                result = await result
        except StopAsyncIteration:
            return None
        except Exception as error:
            raise StreamFailed(error, self._started) from error
        self._started = True
        return _reply(result)

    async def aclose(self) -> None:
        """Close the resolver's generator. It may be called at any time except during `next`, even before the first result."""
        close = getattr(self._source, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except Exception as error:  # noqa: BLE001 - no caller is left, so it is logged
            entry_of(error)


class Execution:
    """Prepares and executes operations of one schema."""

    def __init__(self, schema: strawberry.Schema, *, limits: DocumentLimits, production: bool, cache_entries: int) -> None:
        self._schema = schema._schema
        self._executor_class: Any = schema.execution_context_class
        self._limits = limits
        self._production = production
        self._rules = [*specified_rules, NoSchemaIntrospectionCustomRule] if production else specified_rules
        self._cache: OrderedDict[str, PreparedDocument] = OrderedDict()
        self._cache_entries = cache_entries
        self._unstoppable: set[asyncio.Task[Reply]] = set()

    def prepare(self, query: str) -> PreparedDocument:
        """The prepared document, from the cache if possible. Raises RequestRefused."""
        prepared = self._cache.get(query)
        if prepared is not None:
            self._cache.move_to_end(query)
            return prepared
        prepared = self.check(query)
        self._cache[query] = prepared
        if len(self._cache) > self._cache_entries:
            self._cache.popitem(last=False)
        return prepared

    def check(self, query: str) -> PreparedDocument:
        """Parse a document, check it against the limits and validate it, without the cache. Raises RequestRefused."""
        try:
            check_text(query, self._limits)
            document = parse(query)
            check_document(document, self._limits)
        except DocumentTooLarge as error:
            raise refuse(str(error), ErrorCode.GRAPHQL_VALIDATION_FAILED) from error
        except GraphQLError as error:
            raise RequestRefused(document_entries([error], ErrorCode.GRAPHQL_PARSE_FAILED)) from error
        errors = validate(self._schema, document, self._rules, _MAX_VALIDATION_ERRORS, hide_suggestions=self._production)
        if errors:
            raise RequestRefused(document_entries(errors, ErrorCode.GRAPHQL_VALIDATION_FAILED))
        operations = {
            node.name.value if node.name else "": node.operation
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
        }
        return PreparedDocument(document, operations)

    async def execute(self, prepared: PreparedDocument, request: GraphQLRequest, context: object) -> Reply:
        """Execute a query or mutation. Raises RequestRefused if it did not start; errors of fields are in the reply."""
        result = self._build(prepared, request, context).execute_operation()
        if isawaitable(result):
            result = await result
        return _reply(result)

    async def execute_to_end(self, prepared: PreparedDocument, request: GraphQLRequest, context: object) -> Reply:
        """Like `execute`, for an operation on a stream or socket. A mutation continues if its connection is cut, because events
        are often the last thing that a closing page sends."""
        if prepared.operation_type(request.operation_name) is not OperationType.MUTATION:
            return await self.execute(prepared, request, context)
        task = asyncio.create_task(self.execute(prepared, request, context))
        self._unstoppable.add(task)
        task.add_done_callback(self._unstoppable.discard)
        return await asyncio.shield(task)

    async def subscribe(self, prepared: PreparedDocument, request: GraphQLRequest, context: object) -> ResponseStream:
        """Open a subscription. Raises RequestRefused if it did not start, StreamFailed if its resolver raised at once."""
        executor = self._build(prepared, request, context)
        source: Any = create_source_event_stream(executor)
        if isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            errors = source.errors or [GraphQLError("The subscription returned no stream.")]
            raise StreamFailed(errors[0], started=False)
        return ResponseStream(executor, aiter(source))

    def check_variables(self, prepared: PreparedDocument, request: GraphQLRequest) -> None:
        """Raise RequestRefused if the variables do not match the operation."""
        self._build(prepared, request, None)

    def _build(self, prepared: PreparedDocument, request: GraphQLRequest, context: object) -> Executor[Any]:
        built = self._executor_class.build(
            self._schema,
            prepared.document,
            context_value=context,
            raw_variable_values=request.variables,
            operation_name=request.operation_name,
            hide_suggestions=self._production,
        )
        if isinstance(built, list):
            raise RequestRefused(document_entries(built, ErrorCode.BAD_USER_INPUT))
        executor: Executor[Any] = built
        return executor


def _reply(result: Any) -> Reply:
    payload: dict[str, Any] = {"data": result.data}
    if result.errors:
        payload["errors"] = [execution_entry(error) for error in result.errors]
    return Reply(payload)
