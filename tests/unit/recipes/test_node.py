"""The modules that the recipes for Node share behave like `personalization_gateway`: the same requests, the same results, the same HTML."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest

from local_stack.artifacts.npm import NODE, environment
from personalization_gateway import GatewayClient, render_banner, render_configuration
from personalization_gateway.documents import document, document_id
from personalization_gateway.parsing import decision
from tests.support.client_gateways import DECISION, VISIT, BadServer, bad_server, http
from tests.unit.client.test_faults import dripping, endless, nonsense, silent

RECIPES = Path(__file__).parents[3] / "examples" / "recipes"
PLACEMENT = "homepage-hero"
PAGE = {"type": "home"}
OWN = "<h2>Welcome</h2>"
Answer = dict[str, Any]


def token(seconds: float, by: str | None = "startVisit") -> str:
    """A token that expires in `seconds`: of an anonymous visitor, or signed by the shop for a known one."""
    claims = {"sub": "somebody", "exp": int(time.time() + seconds)} | ({"by": by} if by else {})
    return jwt.encode(claims, "a secret of the tests, 32 characters or more")


FRESH, NEW = token(80_000), token(90_000)


async def node(script: str, given: object) -> tuple[Any, str]:
    """Run a module whose `given` is this value. Returns its result and its log."""
    program = f"const given = JSON.parse(process.argv[1]); console.log(JSON.stringify(await (async () => {{ {script} }})()))"
    command = [str(NODE), "--input-type=module", "-e", program, json.dumps(given)]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=RECIPES, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, log = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, log.decode()
    return json.loads(said), log.decode()


PERSONALIZE = """
    const { Gateway } = await import("./gateway.mjs");
    const gateway = new Gateway(given.endpoint, "pk_test", { deadlineMs: given.deadlineMs });
    const began = performance.now();
    const { token, started, decisions } = await gateway.personalize(["homepage-hero"], given);
    const decided = Object.values(decisions).map(({ id }) => id);
    return { token: token ?? null, started: started?.token ?? null, decided, tookMs: performance.now() - began };
"""


@dataclass
class Seen:
    """What a client got from a gateway, and what it requested."""

    token: str | None
    started: str | None
    decided: list[str]
    asked: list[tuple[str, Any]] = field(default_factory=list)


async def by_node(server: BadServer, cookies: Answer, deadline_s: float = 10) -> Seen:
    given = {"endpoint": server.endpoint, "deadlineMs": deadline_s * 1000, "page": PAGE, **cookies}
    result, _ = await node(PERSONALIZE, given)
    return Seen(result["token"], result["started"], result["decided"], _asked(server))


async def by_python(server: BadServer, cookies: Answer) -> Seen:
    async with GatewayClient(server.endpoint, publishable_key="pk_test", deadline_s=10) as client:
        result = await client.personalize([PLACEMENT], token=cookies.get("token"), after=cookies.get("after"), page={"type": "home"})
    started = result.started.token if result.started else None
    return Seen(result.token, started, [decision.id for decision in result.decisions.values()], _asked(server))


def _asked(server: BadServer) -> list[tuple[str, Any]]:
    """Each request without `maxWaitMs`, which differs by milliseconds."""
    for request in server.requests:
        waits = request["variables"].pop("maxWaitMs", None)
        assert waits is None or (waits > 5000) == ("after" in request["variables"])
    return [(request["operationName"], request["variables"]) for request in server.requests]


def good(operation: str, _variables: Answer) -> Answer:
    if operation == "StartVisit":
        return {"data": {"startVisit": {**VISIT, "token": NEW}}}
    return {"data": {"banners": [DECISION]}}


def refusing(code: str, *, when: Callable[[str, Answer], bool]) -> Callable[[str, Answer], Answer]:
    """Refuse requests for which `when` returns true, answer the others."""

    def answer(operation: str, variables: Answer) -> Answer:
        refusal = {"data": None, "errors": [{"message": "no", "extensions": {"code": code}}]}
        return refusal if when(operation, variables) else good(operation, variables)

    return answer


def unknown_reason(operation: str, variables: Answer) -> Answer:
    return good(operation, variables) if operation == "StartVisit" else {"data": {"banners": [{**DECISION, "reason": "BY_THE_STARS"}]}}


def is_renewal(operation: str, variables: Answer) -> bool:
    return operation == "StartVisit" and "token" in variables


def is_first_banners() -> Callable[[str, Answer], bool]:
    count = itertools.count()
    return lambda operation, _: operation == "Banners" and next(count) == 0


CASES: dict[str, Callable[[], tuple[Answer, Callable[[str, Answer], Answer]]]] = {
    "nobody yet": lambda: ({}, good),
    "a visitor": lambda: ({"token": FRESH, "after": "cursor"}, good),
    "a visitor whose token ends soon": lambda: ({"token": token(300)}, good),
    "a visitor who was long away": lambda: ({"token": token(-300), "after": "cursor"}, good),
    "a known user": lambda: ({"token": token(300, by=None)}, good),
    "a known user who was long away": lambda: ({"token": token(-300, by=None)}, refusing("FORBIDDEN", when=is_renewal)),
    "a token that cannot be renewed": lambda: ({"token": token(-300)}, refusing("UNAUTHENTICATED", when=is_renewal)),
    "a gateway in trouble keeps a visitor": lambda: ({"token": token(300)}, refusing("UNAVAILABLE", when=is_renewal)),
    "a gateway in trouble starts no other visitor": lambda: ({"token": token(-300)}, refusing("UNAVAILABLE", when=is_renewal)),
    "cookies of nobody": lambda: ({"token": "x", "after": "a b"}, good),
    "a forged token": lambda: ({"token": FRESH, "after": "cursor"}, refusing("UNAUTHENTICATED", when=is_first_banners())),
    "a foreign cursor": lambda: ({"token": FRESH, "after": "cursor"}, refusing("BAD_USER_INPUT", when=lambda _, its: "after" in its)),
    "banners refused": lambda: ({"token": FRESH}, refusing("FORBIDDEN", when=lambda operation, _: operation == "Banners")),
    "an enum that has grown": lambda: ({"token": FRESH}, unknown_reason),
}


@pytest.mark.parametrize("case", CASES)
async def test_pages_ask_as_the_client_does(case: str) -> None:
    """For any visitor and any cookies, both languages send the same requests and get the same results."""
    seen = []
    cookies, _ = CASES[case]()
    for ask in (by_python, by_node):
        _, answer = CASES[case]()

        async def behave(server: BadServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Any = answer) -> None:
            while True:
                body = await server.request(reader)
                writer.write(http(json.dumps(answer(body["operationName"], body["variables"])).encode()))
                await writer.drain()

        async with bad_server(behave) as server:
            seen.append(await ask(server, cookies))
            for request in server.requests:
                name = {"StartVisit": "start_visit", "Banners": "banners"}[request["operationName"]]
                assert (request["query"], request["documentId"]) == (document(name), document_id(name))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("behave", [silent, dripping, endless])
async def test_a_slow_gateway_delays_a_page_by_its_deadline(behave: Any) -> None:
    """The deadline is for the whole answer, even if nothing comes or it never ends."""
    async with bad_server(behave) as server:
        given = {"endpoint": server.endpoint, "deadlineMs": 100, "token": FRESH}
        result, log = await node(PERSONALIZE, given)
    assert (result["token"], result["decided"]) == (FRESH, [])
    assert 90 < result["tookMs"] < 5000
    assert log.strip() == "The gateway gave no answer to banner: too late"


async def test_a_gateway_that_is_away_costs_no_wait() -> None:
    """A refused connection ends the call at once, with its cause in the log."""
    async with bad_server(silent) as server:
        pass
    result, log = await node(PERSONALIZE, {"endpoint": server.endpoint, "deadlineMs": 60_000})
    assert (result["token"], result["decided"]) == (None, [])
    assert result["tookMs"] < 5000
    assert log.strip() == "The gateway gave no answer to startVisit: ECONNREFUSED"


async def test_nonsense_is_no_answer() -> None:
    """For any answer that cannot be used the page shows its own content, and nothing is thrown."""
    answers = nonsense()
    left = iter(answers)

    async def behave(server: BadServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(next(left))
        await writer.drain()

    script = f"const all = []; for (const _ of given.answers) all.push((await (async () => {{ {PERSONALIZE} }})()).decided); return all;"
    async with bad_server(behave) as server:
        given = {"endpoint": server.endpoint, "deadlineMs": 10_000, "token": FRESH, "answers": [0] * len(answers)}
        decided, _ = await node(script, given)
    # The times and `fresh` are not read here, so nonsense in them does not cost the banner.
    assert [b"yesterday" in answer or b'"yes"' in answer for answer in answers] == [bool(ids) for ids in decided]


TEXTS = ["Deals", "<script>alert(1)</script>", "\"><img src=x onerror='y'>", "&amp;", "</template>", "ünï\u2028çøde 😀"]
LINKS = [
    None, "", "/ok?a=b&c", "//evil.example", "/\\evil.example", "https://x.example/a", "https://", "HTTP://X.example", "javascript:x",
    "JaVaScRiPt:x", "\tjavascript:x", "data:text/html,x", "sale", "sale:1", "größe/a", "#top", "?q=1", "a b", "/a\nb", "/x'\"", "../up",
    "mailto:a@b.example",
]  # fmt: skip


def banners() -> list[Answer]:
    """Decisions whose banners hold everything that could go wrong."""
    images = [
        None,
        *(
            {"url": link or "", "alt": text, "width": 480, "height": None}
            for link, text in zip(LINKS, itertools.cycle(TEXTS), strict=False)
        ),
    ]
    decisions: list[Answer] = [{**DECISION, "banner": None}, {**DECISION, "campaignId": None, "variant": "b&b"}]
    for number, (text, link) in enumerate(itertools.product(TEXTS, LINKS)):
        body, label, image = [None, "", text][number % 3], [None, "", text][number // 3 % 3], images[number % len(images)]
        banner = {"id": text, "headline": text, "body": body, "linkUrl": link, "ctaLabel": label, "image": image}
        decisions.append({**DECISION, "banner": {**DECISION["banner"], **banner}})
    return decisions


RENDER = """
    const { renderBanner, renderConfiguration } = await import("./banner.mjs");
    const render = (decision, more) => renderBanner(decision, { placement: "homepage-hero", ...more });
    return {
        configuration: renderConfiguration({ endpoint: "/gw?a&b", publishableKey: "pk_x", page: given.page }),
        banners: [null, ...given.decisions].flatMap((decision) => given.ways.map((way) => render(decision, way))),
    };
"""


async def test_the_html_is_that_of_the_client() -> None:
    """Byte for byte, for any content, with and without a close button, and without any decision."""
    ways: list[Answer] = [{"ownHtml": OWN}, {"dismissible": 'Cl"ose'}]
    decisions = banners()
    rendered, _ = await node(RENDER, {"decisions": decisions, "ways": ways, "page": PAGE})
    expected = [
        render_banner(
            decided, placement=PLACEMENT, page_is_private=True, fallback_html=way.get("ownHtml"), dismissible=way.get("dismissible")
        )
        for decided in (None, *(decision(answer, is_personal=True) for answer in decisions))
        for way in ways
    ]
    assert rendered["banners"] == expected
    # The two languages write JSON with different white space.
    configuration = render_configuration("/gw?a&b", publishable_key="pk_x", page={"type": "home"})
    assert rendered["configuration"] == configuration.replace(": ", ":")
