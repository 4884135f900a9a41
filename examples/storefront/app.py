"""The shop as a Starlette application: the handler of each address, and the wiring."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
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

from examples.storefront import pages, panel, proxy
from examples.storefront.banner import PLACEMENT
from examples.storefront.cart import CART_COOKIE, CART_MAX_AGE_S, Cart, read_cart
from examples.storefront.catalogue import CURRENCY, Catalogue, Product, load_catalogue
from examples.storefront.links import Render, read_choices
from examples.storefront.security import SecurityHeaders, own_pages_only
from examples.storefront.settings import Settings
from examples.storefront.tracking import keep_cursor, track_without_script
from personalization_gateway import (
    CURSOR_COOKIE,
    TOKEN_COOKIE,
    EventInput,
    GatewayClient,
    OrderInput,
    PageInput,
    Personalized,
    event,
    token_cookie,
)

STATIC: Final = Path(__file__).parent / "static"
SNIPPET: Final = Path(__file__).parents[2] / "frontend_snippet" / "dist"
"""The output of `npm run build` in frontend_snippet; another shop would take it from the npm package."""
FEATURED: Final = 12
LISTED: Final = 60
MAX_FORM_BYTES: Final = 4096
MAX_URL_CHARACTERS: Final = 2048
_PRIVATE: Final = {"cache-control": "private, no-store"}


class Shop:
    """The handlers of all addresses. Pages are sent with or without the gateway, at most one banner deadline late."""

    def __init__(self, settings: Settings, catalogue: Catalogue, client: GatewayClient) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._client = client
        self._categories = catalogue.categories
        self._featured = catalogue.featured(FEATURED)

    async def home(self, request: Request) -> Response:
        """`GET /`"""
        page = self._page("home")
        in_html = read_choices(request.query_params).render is not Render.CLIENT
        personal = await self._personalize(request, [PLACEMENT] if in_html else [], {**page, "url": str(request.url)[:MAX_URL_CHARACTERS]})
        html = pages.home_page(self._frame(request, page), personal.decisions.get(PLACEMENT), self._featured)
        return self._html(request, personal, html)

    async def category(self, request: Request) -> Response:
        """`GET /category/{slug}`; the slug can also be the readable name."""
        category = self._catalogue.category(request.path_params["slug"])
        if category is None:
            return self._missing(request, "This category does not exist.")
        products = self._catalogue.products_in(category)
        frame = self._frame(request, self._page("category", category=category.name))
        personal = await self._personalize(request)
        return self._html(request, personal, pages.category_page(frame, category, products[:LISTED], len(products)))

    async def product(self, request: Request) -> Response:
        """`GET /product/{product_id}`"""
        product = self._catalogue.product(request.path_params["product_id"])
        if product is None:
            return self._missing(request, "This product does not exist.")
        details: PageInput = {"productId": product.product_id}
        if product.category:
            details["category"] = product.category.name
        frame = self._frame(request, {**self._page("product"), **details})
        return self._html(request, await self._personalize(request), pages.product_page(frame, product))

    async def cart(self, request: Request) -> Response:
        """`GET /cart`"""
        lines = self._cart(request).lines(self._catalogue)
        frame = self._frame(request, self._page("cart"))
        return self._html(request, await self._personalize(request), pages.cart_page(frame, lines))

    async def add_to_cart(self, request: Request) -> Response:
        """`POST /cart/add`, form field `product_id`."""
        product = await self._posted_product(request)
        if product is None:
            return PlainTextResponse("This product does not exist.", 404)
        added = event("PRODUCT_ADDED", product={**product.as_event(), "quantity": 1})
        return await self._changed_cart(request, self._cart(request).with_added(product.product_id), [added])

    async def remove_from_cart(self, request: Request) -> Response:
        """`POST /cart/remove`, form field `product_id`."""
        product = await self._posted_product(request)
        if product is None:
            return PlainTextResponse("This product does not exist.", 404)
        removed = event("PRODUCT_REMOVED", product=product.as_event())
        return await self._changed_cart(request, self._cart(request).without(product.product_id), [removed])

    async def order(self, request: Request) -> Response:
        """`POST /cart/order`: empty the cart. A script gets the order and reports it through its own queue, which survives faults."""
        lines = self._cart(request).lines(self._catalogue)
        if not lines:
            return await self._changed_cart(request, Cart({}), [])
        order: OrderInput = {
            "orderId": str(uuid.uuid4()),
            "value": str(sum(line.total for line in lines)),
            "currency": CURRENCY,
            "products": [{**line.product.as_event(), "quantity": line.quantity} for line in lines],
        }
        return await self._changed_cart(request, Cart({}), [event("ORDER_COMPLETED", order=order)], {"order": order})

    async def panel(self, request: Request) -> Response:
        """`GET /panel.json`: what is known about the cookie's visitor, and why the banner was chosen."""
        status, data = await panel.panel_data(self._client, request.cookies.get(TOKEN_COOKIE), self._page("home"))
        return JSONResponse(data, status, headers=_PRIVATE)

    async def healthz(self, request: Request) -> Response:
        """`GET /healthz`: the process is running. The gateway is not checked: the shop works without it."""
        return PlainTextResponse("ok\n")

    async def _personalize(self, request: Request, placements: Sequence[str] = (), page: PageInput | None = None) -> Personalized:
        """The cookies' visitor and the decisions for the page, within one banner deadline."""
        cookies = request.cookies
        return await self._client.personalize(placements, token=cookies.get(TOKEN_COOKIE), page=page, after=cookies.get(CURSOR_COOKIE))

    def _page(self, page_type: str, category: str | None = None) -> PageInput:
        page: PageInput = {"type": page_type, "locale": pages.LANGUAGE, "currency": CURRENCY}
        if category is not None:
            page["category"] = category
        return page

    def _frame(self, request: Request, page: PageInput) -> pages.Frame:
        return pages.Frame(
            read_choices(request.query_params),
            self._categories,
            self._cart(request).count,
            self._settings.publishable_key.get_secret_value(),
            page,
            self._settings.panel,
        )

    def _html(self, request: Request, personal: Personalized, text: str, status: int = 200) -> Response:
        response = HTMLResponse(text, status, headers=_PRIVATE)
        if personal.started is not None:
            response.set_cookie(**token_cookie(personal.started.token, secure=request.url.scheme == "https"))
        return response

    def _missing(self, request: Request, text: str) -> Response:
        return self._html(
            request, Personalized(), pages.message_page(self._frame(request, self._page("not-found")), "Not found", text), 404
        )

    def _cart(self, request: Request) -> Cart:
        return read_cart(request.cookies.get(CART_COOKIE), self._catalogue)

    async def _posted_product(self, request: Request) -> Product | None:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                return None
        product_ids = parse_qs(body.decode("utf-8", "replace")).get("product_id", [""])
        return self._catalogue.product(product_ids[0])

    async def _changed_cart(
        self, request: Request, cart: Cart, events: Sequence[EventInput], extra: Mapping[str, object] | None = None
    ) -> Response:
        """Store the changed cart. A script gets JSON and reports the events itself; without a script the server reports them."""
        response: Response
        secure = request.url.scheme == "https"
        if "application/json" in request.headers.get("accept", ""):
            response = JSONResponse({"count": cart.count, **(extra or {})}, headers=_PRIVATE)
        else:
            response = RedirectResponse(read_choices(request.query_params).link("/cart"), 303, headers=_PRIVATE)
            cursor = await track_without_script(self._client, request.cookies.get(TOKEN_COOKIE), events)
            keep_cursor(response, cursor, secure=secure)
        max_age_s = CART_MAX_AGE_S if cart.quantities else 0
        response.set_cookie(CART_COOKIE, cart.encode(), max_age=max_age_s, path="/", secure=secure, httponly=True, samesite="lax")
        return response


def create_app(settings: Settings, catalogue: Catalogue | None = None, transport: httpx.AsyncBaseTransport | None = None) -> Starlette:
    """The application. `transport` replaces the network between the shop and the gateway."""
    client = GatewayClient(
        settings.endpoint,
        publishable_key=settings.publishable_key.get_secret_value(),
        secret_key=settings.secret_key.get_secret_value(),
        deadline_s=settings.banner_deadline_ms / 1000,
        timeout_s=2.0,
        transport=transport,
    )
    shop = Shop(settings, catalogue or load_catalogue(), client)
    gateway = proxy.GatewayProxy(settings.endpoint, transport)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield
        await gateway.aclose()

    routes = [
        Route("/", shop.home),
        Route("/category/{slug}", shop.category),
        Route("/product/{product_id}", shop.product),
        Route("/cart", shop.cart),
        Route("/cart/add", own_pages_only(shop.add_to_cart), methods=["POST"]),
        Route("/cart/remove", own_pages_only(shop.remove_from_cart), methods=["POST"]),
        Route("/cart/order", own_pages_only(shop.order), methods=["POST"]),
        Route(proxy.PATH, gateway.answer, methods=proxy.METHODS),
        Route("/healthz", shop.healthz),
        Mount("/static", StaticFiles(directory=STATIC)),
        Mount("/snippet", StaticFiles(directory=SNIPPET, check_dir=False)),
    ]
    if settings.panel:
        routes.append(Route(panel.PATH, own_pages_only(shop.panel)))
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(SecurityHeaders)])
