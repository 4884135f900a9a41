"""The shop's pages, with a gateway that answers, refuses, is late or is away."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from html import unescape
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from examples.storefront.app import create_app
from examples.storefront.catalogue import Catalogue, load_catalogue
from examples.storefront.settings import Settings
from examples.storefront.start import POLICY_SOURCE, START
from tests.support.client_gateways import DECISION, VISIT, answer_to

CATALOGUE = load_catalogue()
HEADLINE = DECISION["banner"]["headline"]


def token(expires_in_s: float, name: str = "visitor") -> str:
    payload = json.dumps({"sub": name, "exp": time.time() + expires_in_s, "by": "startVisit"}).encode()
    return f"head.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.signature"


class Gateway:
    """A gateway as an httpx transport: notes what it is asked, and answers as it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], str]] = []
        self.decision: Any = DECISION
        self.errors: dict[str, list[str]] = {}
        self.token = token(3600, "new")
        self.delay_s = 0.0
        self.broken: Callable[[httpx.Request], httpx.Response] | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.broken is not None:
            return self.broken(request)
        await asyncio.sleep(self.delay_s)
        body = json.loads(request.content)
        name = body["operationName"]
        self.calls.append((name, body["variables"], request.headers["authorization"]))
        if self.errors.get(name):
            code = self.errors[name].pop(0)
            return httpx.Response(200, json={"data": None, "errors": [{"message": "no", "extensions": {"code": code}}]})
        visit = {**VISIT, "token": self.token}
        result = {"results": [], "cursor": "cursor-1", "serverTime": VISIT["serverTime"]}
        data = {"track": result} if name == "Track" else answer_to(name, decision=self.decision, visit=visit)
        return httpx.Response(200, json={"data": data})

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@asynccontextmanager
async def browser(
    gateway: Gateway, deadline_ms: int = 2000, cookies: dict[str, str] | None = None, catalogue: Catalogue = CATALOGUE, panel: bool = False
) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        gateway_url="http://gateway.test",
        publishable_key=SecretStr("pk_test"),
        secret_key=SecretStr("sk_test"),
        banner_deadline_ms=deadline_ms,
        panel=panel,
    )
    app = create_app(settings, catalogue, httpx.MockTransport(gateway))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.test", cookies=cookies) as client,
    ):
        yield client


def hero(page: str) -> str:
    """The banner as the page shows it, without the template for later."""
    found = re.search(r"<live-banner.*?</live-banner>", page, re.DOTALL)
    assert found is not None
    return re.sub(r"<template>.*</template>", "", found[0], flags=re.DOTALL)


async def test_first_page_starts_a_visit_and_shows_the_banner(gateway: Gateway) -> None:
    """The first page makes the visitor, keeps its token as a first-party cookie and has the banner in its HTML."""
    async with browser(gateway) as client:
        page = await client.get("/")
    assert gateway.names == ["StartVisit", "Banners"]
    assert gateway.calls[0][2] == "Bearer pk_test"
    assert gateway.calls[1][2] == f"Bearer {gateway.token}"
    assert 'data-decision-id="d1"' in hero(page.text)
    assert HEADLINE in hero(page.text)
    cookie = page.headers["set-cookie"].lower()
    assert f"visitor_token={gateway.token}".lower() in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "httponly" not in cookie
    assert page.headers["cache-control"] == "private, no-store"


async def test_cookie_is_secure_over_https(gateway: Gateway) -> None:
    """Over https the token's cookie never travels in clear."""
    async with browser(gateway) as client:
        page = await client.get("https://shop.test/")
    assert "secure" in page.headers["set-cookie"].lower()


async def test_known_visitor_is_not_started_again(gateway: Gateway) -> None:
    """A token that holds is used as it is; pages without a banner then ask the gateway nothing."""
    held = token(3600)
    async with browser(gateway, cookies={"visitor_token": held}) as client:
        home = await client.get("/")
        await client.get("/category/smartphones")
        await client.get("/product/1004856")
        await client.get("/cart")
    assert gateway.names == ["Banners"]
    assert gateway.calls[0][2] == f"Bearer {held}"
    assert "set-cookie" not in home.headers


@pytest.mark.parametrize("expires_in_s", [60, -3600])
async def test_token_is_renewed_before_and_after_its_end(gateway: Gateway, expires_in_s: float) -> None:
    """A token near or past its end is renewed: the visitor stays the same."""
    old = token(expires_in_s)
    async with browser(gateway, cookies={"visitor_token": old}) as client:
        page = await client.get("/")
    assert gateway.calls[0][:2] == ("StartVisit", {"token": old})
    assert gateway.token in page.headers["set-cookie"]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "THROTTLED"])
async def test_visitor_is_kept_when_renewing_fails_for_now(gateway: Gateway, code: str) -> None:
    """A gateway in trouble never costs a visitor: no other one is started in its place."""
    gateway.errors = {"StartVisit": [code]}
    async with browser(gateway, cookies={"visitor_token": token(60)}) as client:
        page = await client.get("/")
    assert gateway.names == ["StartVisit", "Banners"]
    assert "set-cookie" not in page.headers


async def test_refused_token_gets_a_new_visitor(gateway: Gateway) -> None:
    """A token of another secret is refused; the same page starts a new visit and still has its banner."""
    gateway.errors = {"Banners": ["UNAUTHENTICATED"]}
    async with browser(gateway, cookies={"visitor_token": token(3600)}) as client:
        page = await client.get("/")
    assert gateway.names == ["Banners", "StartVisit", "Banners"]
    assert gateway.calls[1][1] == {}
    assert "Exclusive deals" in hero(page.text)


async def test_next_page_knows_the_last_event(gateway: Gateway) -> None:
    """The cursor of the last event goes along; one that the gateway cannot read costs nothing but a second question."""
    gateway.errors = {"Banners": ["BAD_USER_INPUT"]}
    cookies = {"visitor_token": token(3600), "visitor_cursor": "abc_-="}
    async with browser(gateway, cookies=cookies) as client:
        page = await client.get("/")
    first, second = gateway.calls
    assert first[1]["after"] == "abc_-="
    assert 0 < first[1]["maxWaitMs"] < 2000
    assert "after" not in second[1]
    assert "Exclusive deals" in hero(page.text)


def _away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


@pytest.mark.parametrize("answer", [None, "<html>bad gateway", "[1]", "5", "{}", '{"data": null}', '{"data": {}}', '{"errors": [{}]}'])
async def test_shop_works_without_the_gateway(gateway: Gateway, answer: str | None) -> None:
    """Whatever the gateway answers, or when nothing does, every page is there, with the shop's own content as the banner."""
    gateway.broken = _away if answer is None else lambda _: httpx.Response(200, text=answer)
    async with browser(gateway, cookies={"visitor_token": token(3600)}) as client:
        for path in ("/", "/category/smartphones", "/product/1004856", "/cart", "/healthz"):
            assert (await client.get(path)).status_code == 200
        page = await client.get("/")
        assert (await client.post("/cart/add", data={"product_id": "1004856"})).status_code == 303
    assert "Welcome to the storefront" in hero(page.text)
    assert "data-decision-id" not in hero(page.text)


@pytest.mark.parametrize("decision", [None, {**DECISION, "id": 5}, {**DECISION, "banner": {"headline": None}}, {"id": "d"}, "x"])
async def test_strange_decisions_are_ignored(gateway: Gateway, decision: Any) -> None:
    """A decision of another form is as good as none."""
    gateway.decision = decision
    async with browser(gateway) as client:
        page = await client.get("/")
    assert "Welcome to the storefront" in hero(page.text)


async def test_page_is_never_late(gateway: Gateway) -> None:
    """A gateway that does not answer delays the page by the deadline, not more."""
    gateway.delay_s = 30
    async with browser(gateway, deadline_ms=50) as client:
        began = time.monotonic()
        page = await client.get("/")
        took_s = time.monotonic() - began
    assert "Welcome to the storefront" in hero(page.text)
    assert 0.04 < took_s < 5


async def test_decision_without_banner_keeps_the_shops_content(gateway: Gateway) -> None:
    """A held-out visitor sees the shop's own content, which still names its decision."""
    gateway.decision = {**DECISION, "id": "d2", "banner": None}
    async with browser(gateway) as client:
        page = await client.get("/")
    assert "Welcome to the storefront" in hero(page.text)
    assert 'data-decision-id="d2"' in hero(page.text)


async def test_banner_content_is_escaped(gateway: Gateway) -> None:
    """Nothing in a banner becomes markup, and no link leads to a script."""
    image = {"url": "javascript:x", "alt": "a", "width": 1, "height": 1}
    hostile = {
        **DECISION["banner"],
        "headline": "<script>alert(1)</script>",
        "body": '"><img src=x>',
        "linkUrl": "javascript:alert(1)",
        "image": image,
    }
    gateway.decision = {**DECISION, "id": '"><script>', "banner": hostile}
    async with browser(gateway) as client:
        shown = hero((await client.get("/")).text)
    assert "<script" not in shown
    assert "<img" not in shown
    assert "javascript:" not in shown
    assert "&lt;script&gt;alert(1)" in shown


@pytest.mark.parametrize(("render", "in_html", "scripts"), [("server", True, 0), ("hybrid", True, 1), ("client", False, 1)])
async def test_three_techniques(gateway: Gateway, render: str, in_html: bool, scripts: int) -> None:
    """server and hybrid have the banner in the HTML, client and hybrid the snippet; each keeps the choice in the shop's links."""
    async with browser(gateway, cookies={"visitor_token": token(3600)}) as client:
        page = await client.get("/", params={"render": render})
    assert ("Exclusive deals" in hero(page.text)) is in_html
    assert ("Welcome to the storefront" in hero(page.text)) is not in_html
    assert len(gateway.calls) == in_html
    assert page.text.count("<script") == scripts
    assert page.text.count('<meta name="live-banner"') == scripts
    assert f'href="{"/cart" if render == "hybrid" else f"/cart?render={render}"}"' in page.text


async def test_snippet_is_told_where_the_gateway_is(gateway: Gateway) -> None:
    """A path of the shop's own origin, the publishable key, and the page; never the token or the secret key."""
    async with browser(gateway) as client:
        page = (await client.get("/product/1004856")).text
    tag = re.search(r'<meta name="live-banner"[^>]*>', page)
    assert tag is not None
    assert 'content="/gw/graphql" data-key="pk_test"' in tag[0]
    assert json.loads(re.findall(r'data-page="([^"]*)"', unescape(tag[0].replace("&quot;", "\x00")))[0].replace("\x00", '"')) == {
        "type": "product", "locale": "en", "currency": "USD", "productId": "1004856", "category": "smartphones",
    }  # fmt: skip
    assert gateway.token not in page
    assert "sk_test" not in page


async def test_event_without_script_is_reported_by_the_server(gateway: Gateway) -> None:
    """A form that no script took over: the server tells the gateway, and the next page waits for what it told."""
    held = token(3600)
    async with browser(gateway, cookies={"visitor_token": held}) as client:
        await client.post("/cart/add", data={"product_id": "1004856"})
        await client.post("/cart/remove", data={"product_id": "1004856"}, headers={"accept": "application/json"})
        await client.get("/")
    assert gateway.names == ["Track", "Banners"]
    [happened] = gateway.calls[0][1]["events"]
    assert (happened["type"], happened["product"]["productId"]) == ("PRODUCT_ADDED", "1004856")
    assert gateway.calls[0][2] == f"Bearer {held}"
    assert gateway.calls[1][1]["after"] == "cursor-1"


async def test_panel_is_for_development_only(gateway: Gateway) -> None:
    """Without the setting there is neither a panel nor its data, whatever the address says."""
    async with browser(gateway) as client:
        assert "data-panel" not in (await client.get("/?panel")).text
        assert (await client.get("/panel.json")).status_code == 404
    async with browser(gateway, panel=True) as client:
        assert "data-panel" in (await client.get("/?panel")).text
        assert "data-panel" not in (await client.get("/")).text


async def test_panel_asks_with_the_visitors_own_token_first(gateway: Gateway) -> None:
    """The secret key is used for nobody whom the gateway has not confirmed; other sites get nothing."""
    gateway.errors = {"UserContext": ["UNAUTHENTICATED"]}
    held = token(3600, "someone else")
    async with browser(gateway, panel=True, cookies={"visitor_token": held}) as client:
        answer = await client.get("/panel.json")
        foreign = await client.get("/panel.json", headers={"sec-fetch-site": "cross-site"})
    assert (answer.status_code, foreign.status_code) == (403, 403)
    assert [(name, bearer) for name, _, bearer in gateway.calls] == [("UserContext", f"Bearer {held}")]


async def test_cart_with_script(gateway: Gateway) -> None:
    """The script adds, removes and orders; the order names what was in the cart, priced by the server."""
    accept = {"accept": "application/json"}
    async with browser(gateway) as client:
        for count, product_id in enumerate(("1004856", "1004856", "1005115"), start=1):
            answer = await client.post("/cart/add", data={"product_id": product_id}, headers=accept)
            assert answer.json() == {"count": count}
        assert "1,237.09 USD" in (await client.get("/cart")).text
        removed = await client.post("/cart/remove", data={"product_id": "1005115"}, headers=accept)
        assert removed.json() == {"count": 2}
        ordered = (await client.post("/cart/order", headers=accept)).json()
        assert ordered["count"] == 0
        assert ordered["order"]["value"] == "261.52"
        assert ordered["order"]["currency"] == "USD"
        assert [(p["productId"], p["quantity"]) for p in ordered["order"]["products"]] == [("1004856", 2)]
        assert (await client.post("/cart/order", headers=accept)).json() == {"count": 0}
        assert "Your cart is empty" in (await client.get("/cart")).text


async def test_cart_without_script(gateway: Gateway) -> None:
    """Forms work without a script too, and keep the choice of technique."""
    async with browser(gateway) as client:
        answer = await client.post("/cart/add?render=server", data={"product_id": "1004856"})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/cart?render=server"
        assert "Samsung smartphone 1004856" in (await client.get("/cart")).text


@pytest.mark.parametrize("path", ["/cart/add", "/cart/remove", "/cart/order"])
@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}])
async def test_other_sites_cannot_post(gateway: Gateway, path: str, headers: dict[str, str]) -> None:
    """A page of another site changes nothing here."""
    async with browser(gateway) as client:
        answer = await client.post(path, data={"product_id": "1004856"}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_unknown_things_are_not_found(gateway: Gateway) -> None:
    """What the shop does not have is a 404; a body that is too large is none of its products."""
    async with browser(gateway) as client:
        for path in ("/category/%3Cscript%3E", "/product/0", "/product/%3Cscript%3E"):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert "<script>" not in answer.text.replace(START, "")
        assert (await client.post("/cart/add", content=b"x" * 100_000)).status_code == 404
        assert (await client.post("/cart/add", content=b"&" * 4000)).status_code == 404


async def test_category_is_found_by_the_name_in_a_banners_link(gateway: Gateway) -> None:
    """Banners link to /category/ with the readable name in it, encoded."""
    async with browser(gateway) as client:
        assert "Air heaters" in (await client.get("/category/air%20heaters")).text
        assert "TVs" in (await client.get("/category/TVs")).text


async def test_content_security_policy(gateway: Gateway) -> None:
    """Pages run the shop's own scripts only and have one line of it in the HTML; they reach the shop and the gateway."""
    async with browser(gateway) as client:
        page = await client.get("/")
        script = await client.get("/static/shop.js")
    for answer in (page, script):
        policy = answer.headers["content-security-policy"]
        assert f"default-src 'none'; script-src 'self' {POLICY_SOURCE}; style-src 'self'" in policy
        assert "connect-src 'self';" in policy
        assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "javascript" in script.headers["content-type"]
    assert re.findall(r"<script.*?</script>", page.text) == [START]
    assert page.text.index(START) < page.text.index("stylesheet"), "an inline script waits for the stylesheets above it"
    assert " style=" not in page.text
    assert " on" not in re.sub(r">[^<]*<", "><", page.text).replace(" one", "")


async def test_nothing_personal_is_logged(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """A failing call is logged by its name and its kind of failure; never with a token."""
    gateway.errors = {"Banners": ["UNAVAILABLE"]}
    async with browser(gateway) as client:
        await client.get("/")
    assert "The gateway gave no answer to banner: UNAVAILABLE" in caplog.text
    assert gateway.token not in caplog.text
    assert "pk_test" not in caplog.text
