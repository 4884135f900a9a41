"""The shop as a Starlette application: what each address does, and the wiring."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from examples.storefront import pages
from examples.storefront.banner import PLACEMENT
from examples.storefront.cart import CART_COOKIE, CART_MAX_AGE_S, Cart, read_cart
from examples.storefront.catalogue import CURRENCY, Catalogue, Product, load_catalogue
from examples.storefront.gateway_client import Decision, GatewayClient, TokenRefused
from examples.storefront.links import Render, read_choices
from examples.storefront.security import SecurityHeaders, own_pages_only
from examples.storefront.settings import Settings
from examples.storefront.visits import CURSOR_COOKIE, TOKEN_COOKIE, Visit, read_cursor, visit_of

STATIC: Final = Path(__file__).parent / "static"
FEATURED: Final = 12
LISTED: Final = 60
MAX_FORM_BYTES: Final = 4096
VISIT_DEADLINE_S: Final = 2.0
"""For the page script, which waits for a visitor token without keeping a page from being shown."""
_PRIVATE: Final = {"cache-control": "private, no-store"}


class Shop:
    """Handlers of all addresses. Pages are answered with or without the gateway, at most one banner deadline late."""

    def __init__(self, settings: Settings, catalogue: Catalogue, client: GatewayClient) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._client = client
        self._categories = catalogue.categories
        self._featured = catalogue.featured(FEATURED)

    async def home(self, request: Request) -> Response:
        """`GET /`"""
        page = self._page(request, "home")
        in_html = read_choices(request.query_params).render is not Render.CLIENT
        visit, decision = await self._personalize(request, page if in_html else None)
        return self._html(request, visit, pages.home_page(self._frame(request, page), decision, self._featured))

    async def category(self, request: Request) -> Response:
        """`GET /category/{slug}`; the slug may be the readable name too."""
        category = self._catalogue.category(request.path_params["slug"])
        if category is None:
            return await self._missing(request, "There is no such category.")
        products = self._catalogue.products_in(category)
        page = self._page(request, "category", category=category.name)
        visit, _ = await self._personalize(request, None)
        return self._html(request, visit, pages.category_page(self._frame(request, page), category, products[:LISTED], len(products)))

    async def product(self, request: Request) -> Response:
        """`GET /product/{product_id}`"""
        product = self._catalogue.product(request.path_params["product_id"])
        if product is None:
            return await self._missing(request, "There is no such product.")
        more = {"productId": product.product_id} | ({"category": product.category.name} if product.category else {})
        page = self._page(request, "product", **more)
        visit, _ = await self._personalize(request, None)
        return self._html(request, visit, pages.product_page(self._frame(request, page), product))

    async def cart(self, request: Request) -> Response:
        """`GET /cart`"""
        lines = self._cart(request).lines(self._catalogue)
        visit, _ = await self._personalize(request, None)
        return self._html(request, visit, pages.cart_page(self._frame(request, self._page(request, "cart")), lines))

    async def add_to_cart(self, request: Request) -> Response:
        """`POST /cart/add`, form field `product_id`."""
        product = await self._posted_product(request)
        if product is None:
            return PlainTextResponse("There is no such product.", 404)
        return self._changed_cart(request, self._cart(request).with_added(product.product_id))

    async def remove_from_cart(self, request: Request) -> Response:
        """`POST /cart/remove`, form field `product_id`."""
        product = await self._posted_product(request)
        if product is None:
            return PlainTextResponse("There is no such product.", 404)
        return self._changed_cart(request, self._cart(request).without(product.product_id))

    async def order(self, request: Request) -> Response:
        """`POST /cart/order`: empty the cart; a script gets the order, to report it by its queue, which outlasts faults."""
        lines = self._cart(request).lines(self._catalogue)
        order = {
            "orderId": str(uuid.uuid4()),
            "value": str(sum(line.total for line in lines)),
            "currency": CURRENCY,
            "products": [{**line.product.as_event(), "quantity": line.quantity} for line in lines],
        }
        return self._changed_cart(request, Cart({}), {"order": order} if lines else {})

    async def visit(self, request: Request) -> Response:
        """`POST /visit`: a fresh token for the page script, also as the cookie; 503 when the gateway does not answer."""
        deadline = asyncio.get_running_loop().time() + VISIT_DEADLINE_S
        visit = await visit_of(request.cookies.get(TOKEN_COOKIE), self._client, deadline, time.time(), renew=True)
        if visit.started is None:
            return JSONResponse({}, 503, headers=_PRIVATE)
        response = JSONResponse({"token": visit.started.token, "serverTime": visit.started.server_time}, headers=_PRIVATE)
        visit.keep(response, secure=request.url.scheme == "https")
        return response

    async def healthz(self, request: Request) -> Response:
        """`GET /healthz`: the process is up. The gateway is no part of that: the shop sells without it."""
        return PlainTextResponse("ok\n")

    async def _personalize(self, request: Request, page: Mapping[str, str] | None) -> tuple[Visit, Decision | None]:
        """The visitor, and the banner for `page` (none asked for without a page). Returns within one banner deadline."""
        deadline = asyncio.get_running_loop().time() + self._settings.banner_deadline_ms / 1000
        visit = await visit_of(request.cookies.get(TOKEN_COOKIE), self._client, deadline, time.time())
        if visit.token is None or page is None:
            return visit, None
        after = read_cursor(request.cookies.get(CURSOR_COOKIE))
        try:
            return visit, await self._client.banner(visit.token, PLACEMENT, page, deadline, after)
        except TokenRefused:
            visit = await visit_of(None, self._client, deadline, time.time())
        try:
            return visit, None if visit.token is None else await self._client.banner(visit.token, PLACEMENT, page, deadline)
        except TokenRefused:
            return visit, None

    def _page(self, request: Request, kind: str, **more: str) -> dict[str, str]:
        return {"type": kind, "url": request.url.path[:2048], "locale": pages.LANGUAGE, "currency": CURRENCY, **more}

    def _frame(self, request: Request, page: Mapping[str, str]) -> pages.Frame:
        return pages.Frame(
            read_choices(request.query_params),
            self._categories,
            self._cart(request).count,
            self._settings.browser_endpoint,
            page,
            time.time_ns() // 1_000_000,
        )

    def _html(self, request: Request, visit: Visit, text: str, status: int = 200) -> Response:
        response = HTMLResponse(text, status, headers=_PRIVATE)
        visit.keep(response, secure=request.url.scheme == "https")
        return response

    async def _missing(self, request: Request, text: str) -> Response:
        frame = self._frame(request, self._page(request, "not-found"))
        return self._html(request, Visit(None), pages.message_page(frame, "Not found", text), 404)

    def _cart(self, request: Request) -> Cart:
        return read_cart(request.cookies.get(CART_COOKIE), self._catalogue)

    async def _posted_product(self, request: Request) -> Product | None:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                return None
        found = parse_qs(body.decode("utf-8", "replace")).get("product_id", [""])
        return self._catalogue.product(found[0])

    def _changed_cart(self, request: Request, cart: Cart, more: Mapping[str, object] | None = None) -> Response:
        """Keep the changed cart; answer a script with JSON, a form without script with the cart page."""
        response: Response
        if "application/json" in request.headers.get("accept", ""):
            response = JSONResponse({"count": cart.count, **(more or {})}, headers=_PRIVATE)
        else:
            response = RedirectResponse(read_choices(request.query_params).link("/cart"), 303, headers=_PRIVATE)
        secure = request.url.scheme == "https"
        max_age_s = CART_MAX_AGE_S if cart.quantities else 0
        response.set_cookie(CART_COOKIE, cart.encode(), max_age=max_age_s, path="/", secure=secure, httponly=True, samesite="lax")
        return response


def create_app(settings: Settings, catalogue: Catalogue | None = None, transport: httpx.AsyncBaseTransport | None = None) -> Starlette:
    """The application. `transport` replaces the network between the shop and the gateway."""
    http = httpx.AsyncClient(
        transport=transport,
        trust_env=False,  # the gateway is a neighbour, never behind the machine's web proxy
        timeout=VISIT_DEADLINE_S,
        limits=httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30),
    )
    client = GatewayClient(http, settings.endpoint, settings.publishable_key.get_secret_value())
    shop = Shop(settings, catalogue or load_catalogue(), client)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with http:
            yield

    routes = [
        Route("/", shop.home),
        Route("/category/{slug}", shop.category),
        Route("/product/{product_id}", shop.product),
        Route("/cart", shop.cart),
        Route("/cart/add", own_pages_only(shop.add_to_cart), methods=["POST"]),
        Route("/cart/remove", own_pages_only(shop.remove_from_cart), methods=["POST"]),
        Route("/cart/order", own_pages_only(shop.order), methods=["POST"]),
        Route("/visit", own_pages_only(shop.visit), methods=["POST"]),
        Route("/healthz", shop.healthz),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(SecurityHeaders, browser_endpoint=settings.browser_endpoint)])
