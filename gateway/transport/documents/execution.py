"""Runs operations of a Strawberry schema.

graphql-core's executor is driven directly, with Strawberry's executor class: custom scalars, enums and `info.context`
work as always, while the layers that Strawberry puts in between (extensions, a context manager per phase) are left out.
Documents are parsed, measured and validated once, then kept.
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

from gateway.errors import ErrorCode, GatewayError, Throttled, Unavailable
from gateway.transport.documents.limits import DocumentLimits, DocumentTooLarge, check_document, check_text
from gateway.transport.errors import ErrorEntry, RequestRefused, document_entries, entry_of, execution_entry, refuse, root_cause

_MAX_VALIDATION_ERRORS: Final = 20


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """The parameters of a request (GraphQL over HTTP, section 5.1 and appendix A), of the right types.

    At least one of `query` and `document_sha256` is given; `gateway.transport.documents.persisted_documents` finds the text.
    """

    query: str | None
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None
    document_sha256: str | None = None
    """The hash, 64 lower-case hexadecimal digits, by which the request names its document."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One result as it goes on the wire: `data`, `errors`."""

    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document that is within the limits and valid."""

    document: DocumentNode
    operations: Mapping[str, OperationType]

    def operation_type(self, name: str | None) -> OperationType:
        """The type of the operation that `name` selects. Raises RequestRefused when it selects none."""
        if name is not None:
            found = self.operations.get(name)
            if found is None:
                raise refuse("The document has no operation of that operationName.", ErrorCode.OPERATION_RESOLUTION_FAILURE)
            return found
        if len(self.operations) != 1:
            raise refuse("Say by operationName which operation to run.", ErrorCode.OPERATION_RESOLUTION_FAILURE)
        return next(iter(self.operations.values()))


class StreamFailed(Exception):
    """A subscription ended by an error: `entry` is what the caller is told.

    `started`: it had sent a result before. `retry`: opening it again may help, so the client must not believe that it
    is over. `unexpected`: a defect of ours.
    """

    def __init__(self, error: Exception, started: bool) -> None:
        cause = root_cause(error)
        super().__init__(str(cause))
        self.entry: ErrorEntry = entry_of(error)
        self.code: str = self.entry["extensions"]["code"]
        self.started = started
        self.unexpected = not isinstance(cause, GatewayError)
        self.retry = self.unexpected or isinstance(cause, Unavailable | Throttled)


class ResponseStream:
    """The results of a subscription, pulled one at a time: the resolver is asked for one only after the last went out."""

    def __init__(self, executor: Executor[Any], source: AsyncIterator[Any]) -> None:
        self._executor = executor
        self._source = source
        self._started = False

    async def next(self) -> Reply | None:
        """The next result; None after the last. Raises StreamFailed when the resolver raised."""
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
        """Close the resolver's generator. May be called at any time but during `next`, also before the first."""
        close = getattr(self._source, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except Exception as error:  # noqa: BLE001 - there is nobody left to tell: it is logged
            entry_of(error)


class Execution:
    """Prepares and runs operations of one schema."""

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
        """Parse, measure and validate, or find it done. Raises RequestRefused."""
        found = self._cache.get(query)
        if found is not None:
            self._cache.move_to_end(query)
            return found
        found = self.check(query)
        self._cache[query] = found
        if len(self._cache) > self._cache_entries:
            self._cache.popitem(last=False)
        return found

    def check(self, query: str) -> PreparedDocument:
        """Parse, measure and validate, and leave it to the caller to keep it. Raises RequestRefused."""
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
        """Run a query or mutation. Raises RequestRefused when it did not start; errors of fields are in the reply."""
        result = self._build(prepared, request, context).execute_operation()
        if isawaitable(result):
            result = await result
        return _reply(result)

    async def execute_to_end(self, prepared: PreparedDocument, request: GraphQLRequest, context: object) -> Reply:
        """Like `execute`, for an operation that a stream or socket carries: a mutation goes on when its carrier is cut,
        as events are often the last that a closing page sends."""
        if prepared.operation_type(request.operation_name) is not OperationType.MUTATION:
            return await self.execute(prepared, request, context)
        task = asyncio.create_task(self.execute(prepared, request, context))
        self._unstoppable.add(task)
        task.add_done_callback(self._unstoppable.discard)
        return await asyncio.shield(task)

    async def subscribe(self, prepared: PreparedDocument, request: GraphQLRequest, context: object) -> ResponseStream:
        """Open a subscription. Raises RequestRefused when it did not start, StreamFailed when its resolver raised at once."""
        executor = self._build(prepared, request, context)
        source: Any = create_source_event_stream(executor)
        if isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            errors = source.errors or [GraphQLError("The subscription gave no stream.")]
            raise StreamFailed(errors[0], started=False)
        return ResponseStream(executor, aiter(source))

    def check_variables(self, prepared: PreparedDocument, request: GraphQLRequest) -> None:
        """Raise RequestRefused when the variables do not fit the operation."""
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
