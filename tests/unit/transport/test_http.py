"""GraphQL over HTTP, in process. Four-digit ids are those of the graphql-http audits."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.support.toy_gateway import ORIGIN, Board, make_endpoint

RESPONSE_JSON = "application/graphql-response+json"
PREFLIGHT = {"graphql-require-preflight": "1"}
Open = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@asynccontextmanager
async def opened(board: Board | None = None, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(make_endpoint(board or Board(), **settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        del client.headers["accept"]
        yield client


async def post(
    body: Any, accept: str | None = "application/json", headers: dict[str, str] | None = None, **settings: Any
) -> httpx.Response:
    async with opened(**settings) as client:
        return await client.post("/graphql", json=body, headers={**({"accept": accept} if accept else {}), **(headers or {})})


def code(response: httpx.Response) -> str:
    found: str = response.json()["errors"][0]["extensions"]["code"]
    return found


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        (RESPONSE_JSON, RESPONSE_JSON),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        (None, "application/json"),
    ],
)
async def test_content_type_follows_accept(accept: str | None, answered: str) -> None:
    """22EB 4655 47DE 82A3: the answer has the accepted type, in UTF-8, and is never stored."""
    response = await post({"query": "{ __typename }"}, accept)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{answered}; charset=utf-8"
    assert response.headers["cache-control"] == "private, no-store"
    assert response.json() == {"data": {"__typename": "Query"}}


INVALID: list[dict[str, Any]] = [
    {"notquery": "{ __typename }"},
    *({"query": wrong} for wrong in ({"obj": "ect"}, 0, False, ["array"], "", None)),
    *({"query": "{ __typename }", "operationName": wrong} for wrong in ({"obj": "ect"}, 0, False, ["array"])),
    *({"query": "{ __typename }", "variables": wrong} for wrong in ("string", 0, False, ["array"])),
    *({"query": "{ __typename }", "extensions": wrong} for wrong in ("string", 0, False, ["array"])),
]


@pytest.mark.parametrize("body", INVALID, ids=str)
async def test_invalid_parameters(body: dict[str, Any]) -> None:
    """423L LKJx 6C0x 476x 58Bx 8764 3E3A: parameters of a wrong type are 400 without data, whatever is accepted."""
    for accept in (RESPONSE_JSON, "application/json"):
        response = await post(body, accept)
        assert response.status_code == 400
        assert code(response) == "BAD_REQUEST"
        assert "data" not in response.json()


@pytest.mark.parametrize("parameter", ["variables", "operationName", "extensions"])
async def test_null_parameters(parameter: str) -> None:
    """94Bx 022x: null stands for absent."""
    assert (await post({"query": "{ __typename }", parameter: None})).json() == {"data": {"__typename": "Query"}}


async def test_good_parameters() -> None:
    """34A2 8161 2EA1 28B9 428F: operationName, variables and extensions are taken."""
    body = {
        "operationName": "B",
        "query": "query A { hello } query B($n: String!) { hello(name: $n) }",
        "variables": {"n": "x"},
        "extensions": {"a": 1},
    }
    assert (await post(body)).json() == {"data": {"hello": "hello x"}}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ 8f31403dfe404bccbb0e835f2629c6a7 }", "GRAPHQL_PARSE_FAILED"),
        ("{ hallo }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ " + "hello " * 21 + "}", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { hello } query B { hello }", "OPERATION_RESOLUTION_FAILURE"),
        ("fragment F on Query { hello } ", "GRAPHQL_VALIDATION_FAILED"),
        ("query ($of: Int!) { square(of: $of) }", "BAD_USER_INPUT"),
    ],
)
async def test_request_errors(query: str, expected: str) -> None:
    """556A D586 74FF 5E5B 572B FDE2: a document that does not parse, validate or fit its variables has its code and no data."""
    for accept, status in ((RESPONSE_JSON, 400), ("application/json", 200)):
        response = await post({"query": query}, accept)
        assert response.status_code == status
        assert code(response) == expected
        assert "data" not in response.json()


async def test_unknown_operation_name() -> None:
    """An operationName that the document lacks is OPERATION_RESOLUTION_FAILURE."""
    assert code(await post({"query": "query A { hello }", "operationName": "B"})) == "OPERATION_RESOLUTION_FAILURE"


@pytest.mark.parametrize("content", [b'{ "not a JSON', b"", b"\xff\xfe", b'"text"'])
async def test_malformed_body(content: bytes) -> None:
    """A5BF BCF8 B7N8: a body that is not a JSON object is 400, whatever is accepted."""
    async with opened() as client:
        for accept in (RESPONSE_JSON, "application/json"):
            response = await client.post("/graphql", content=content, headers={"content-type": "application/json", "accept": accept})
            assert response.status_code == 400
            assert code(response) == "BAD_REQUEST"


async def test_batches_are_refused() -> None:
    """An array is refused with 400 whatever is accepted, before anything in it is run."""
    for accept in (RESPONSE_JSON, "application/json", "text/event-stream"):
        assert (await post([{"query": "{ hello }"}], accept)).status_code == 400


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_content_types_of_simple_requests_are_refused(content_type: str | None) -> None:
    """9ABE and CSRF: a POST that a page could send without a preflight is 415."""
    async with opened() as client:
        response = await client.post(
            "/graphql", content=b'{"query":"{ hello }"}', headers={"content-type": content_type} if content_type else {}
        )
    assert response.status_code == 415


async def test_get_queries() -> None:
    """80D8 5A70 D6D5 6A70: GET serves queries with URL-encoded JSON variables."""
    async with opened() as client:
        parameters = {"query": "query ($n: String!) { hello(name: $n) }", "variables": '{"n":"ä&b"}'}
        response = await client.get("/graphql", params=parameters, headers=PREFLIGHT)
        assert response.json() == {"data": {"hello": "hello ä&b"}}
        assert response.headers["content-type"].startswith("application/json")
        bad = await client.get("/graphql", params={"query": "{ hello }", "variables": "{"}, headers={**PREFLIGHT, "accept": RESPONSE_JSON})
        assert bad.status_code == 400


async def test_get_without_preflight_header_is_refused() -> None:
    """CSRF: a GET that a page could send without a preflight is 403, also for an event stream."""
    async with opened() as client:
        for accept in ("*/*", "text/event-stream"):
            assert (await client.get("/graphql", params={"query": "{ hello }"}, headers={"accept": accept})).status_code == 403


async def test_get_never_runs_mutations() -> None:
    """9C48: a mutation by GET is 405 with Allow, whatever is accepted, and is not run."""
    board = Board()
    async with opened(board) as client:
        for accept in (RESPONSE_JSON, "application/json", "text/event-stream"):
            response = await client.get(
                "/graphql", params={"query": 'mutation { write(text: "x") }'}, headers={**PREFLIGHT, "accept": accept}
            )
            assert response.status_code == 405
            assert response.headers["allow"] == "POST"
    assert board.written == []


async def test_other_methods_and_types() -> None:
    """Other methods are 405 with Allow; a type that we do not speak is 406."""
    async with opened() as client:
        response = await client.patch("/graphql", json={})
        assert response.status_code == 405
        assert response.headers["allow"] == "GET, POST, PUT, DELETE, OPTIONS"
    assert (await post({"query": "{ hello }"}, "text/html")).status_code == 406


async def test_large_bodies() -> None:
    """A body over the limit is 413 PAYLOAD_TOO_LARGE, whether its length is announced or not."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 300

    async with opened(max_body_bytes=1000) as client:
        announced = await client.post("/graphql", json={"query": "x" * 1000})
        unannounced = await client.post("/graphql", content=chunks(), headers={"content-type": "application/json"})
    assert announced.status_code == unannounced.status_code == 413
    assert code(announced) == code(unannounced) == "PAYLOAD_TOO_LARGE"


async def test_bad_credential() -> None:
    """BC58: a forged token is UNAUTHENTICATED, 401 for graphql-response+json; no token at all is the resolvers' matter."""
    forged = {"authorization": "Bearer forged"}
    for accept, status in ((RESPONSE_JSON, 401), ("application/json", 200)):
        response = await post({"query": "{ hello }"}, accept, forged)
        assert response.status_code == status
        assert code(response) == "UNAUTHENTICATED"
        assert response.headers["www-authenticate"] == "Bearer"
    assert (await post({"query": "{ caller }"})).json() == {"data": {"caller": None}}
    assert (await post({"query": "{ caller }"}, headers={"authorization": "Bearer ann"})).json() == {"data": {"caller": "ann"}}


async def test_field_errors_keep_the_other_fields() -> None:
    """A failing field has its code, field and path, and takes no other field's answer away."""
    answer = (await post({"query": '{ a: refused(why: "input") b: refused hello }'})).json()
    assert answer["data"] == {"a": None, "b": None, "hello": "hello world"}
    entries = {entry["path"][0]: entry for entry in answer["errors"]}
    assert entries["a"]["extensions"] == {"code": "BAD_USER_INPUT", "field": "why"}
    assert entries["b"]["message"] == "Not yours."
    assert entries["b"]["extensions"] == {"code": "FORBIDDEN"}


async def test_defects_are_masked_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A defect of ours shows an incident number only; the log has the same number with the traceback."""
    with caplog.at_level(logging.ERROR):
        response = await post({"query": "{ broken }"})
    assert code(response) == "INTERNAL_SERVER_ERROR"
    assert "secret" not in response.text
    incident = response.json()["errors"][0]["extensions"]["incident"]
    assert incident in caplog.text
    assert "secret detail" in caplog.text
    assert "Traceback" in caplog.text


async def test_an_answer_that_does_not_fit_its_type_is_a_defect(caplog: pytest.LogCaptureFixture) -> None:
    """A resolver's answer that its type cannot hold is masked; an argument that does not fit is explained."""
    assert code(await post({"query": "{ square(of: 100000) }"})) == "INTERNAL_SERVER_ERROR"
    response = await post({"query": "query ($of: Int = 3) { square(of: $of) }", "variables": {"of": None}})
    assert code(response) == "BAD_USER_INPUT"
    assert "incident" in caplog.text


async def test_production_has_no_introspection_and_no_suggestions() -> None:
    """In production neither introspection nor a misspelt name reveals the schema."""
    for production, told in ((False, True), (True, False)):
        response = await post({"query": "{ hell }"}, production=production)
        assert ("hello" in response.text) is told
        response = await post({"query": "{ __schema { queryType { name } } }"}, production=production)
        assert ("data" in response.json()) is told
    assert (await post({"query": "{ __typename }"}, production=True)).json() == {"data": {"__typename": "Query"}}


async def test_documents_are_prepared_once_and_the_cache_is_bounded() -> None:
    """A document is parsed once; the least recently used one goes first."""
    endpoint = make_endpoint(Board(), document_cache_entries=2)
    execution = endpoint._execution
    first = execution.prepare("{ hello }")
    execution.prepare("{ node { name } }")
    assert execution.prepare("{ hello }") is first
    execution.prepare("{ caller }")
    assert execution.prepare("{ hello }") is first
    assert len(execution._cache) == 2


async def test_cors() -> None:
    """A page of an allowed origin may read the answer and gets its preflight answered; no other page does."""
    async with opened() as client:
        ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        preflight = await client.options("/graphql", headers={"origin": ORIGIN, **ask})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
        for name in ("authorization", "content-type", "traceparent", "last-event-id"):
            assert name in preflight.headers["access-control-allow-headers"].split(", ")
        assert "access-control-allow-credentials" not in preflight.headers
        refused = await client.options("/graphql", headers={"origin": "https://evil.com", **ask})
        assert "access-control-allow-origin" not in refused.headers
        for origin, allowed in ((ORIGIN, ORIGIN), ("https://evil.com", None), ("null", None)):
            for path_query in ("{ hello }", "{"):
                answer = await client.post("/graphql", json={"query": path_query}, headers={"origin": origin})
                assert answer.headers.get("access-control-allow-origin") == allowed
                assert "Origin" in answer.headers["vary"]


async def test_request_info() -> None:
    """The context is made from credential, transport, traceparent and address."""
    board = Board()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with opened(board) as client:
        await client.post("/graphql", json={"query": "{ hello }"}, headers={"traceparent": trace})
        await client.post("/graphql", json={"query": "{ hello }"}, headers={"traceparent": "nonsense"})
    assert [(info.transport, info.traceparent, info.client_address) for info in board.infos] == [
        ("http", trace, "127.0.0.1"),
        ("http", None, "127.0.0.1"),
    ]


async def test_subscriptions_need_a_stream() -> None:
    """A subscription without text/event-stream is refused with the remedy."""
    response = await post({"query": "subscription { count(to: 1) }"}, RESPONSE_JSON)
    assert response.status_code == 400
    assert "text/event-stream" in response.text
