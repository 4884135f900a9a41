"""Server rendering with Django: the synchronous client, one cookie, one function that renders.

The whole project is in this file; in yours, the arguments of `configure` belong in the settings module.
"""

from __future__ import annotations

import secrets

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine
from django.urls import path

from personalization_gateway import CURSOR_COOKIE, TOKEN_COOKIE, SyncGatewayClient, render_banner, render_configuration, token_cookie

PAGE = Engine().from_string("""<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8"><title>Shop</title>
  {{ configuration }}
  <link rel="stylesheet" href="/static/live-banner.css">
  <script type="module" async fetchpriority="low" src="/static/live-banner.js"></script>
</head>
<body>{{ banner }}</body>
</html>
""")


def home(request: HttpRequest) -> HttpResponse:
    """The view. Templates do not escape what the client renders: it is marked as HTML."""
    personal = settings.GATEWAY.personalize(
        ["homepage-hero"],
        token=request.COOKIES.get(TOKEN_COOKIE),
        after=request.COOKIES.get(CURSOR_COOKIE),
        page={"type": "home", "url": request.build_absolute_uri()},
    )
    banner = render_banner(
        personal.decisions.get("homepage-hero"), placement="homepage-hero", page_is_private=True, fallback_html="<h2>Welcome</h2>"
    )
    configuration = render_configuration("/graphql", publishable_key=settings.PUBLISHABLE_KEY, page={"type": "home"})
    html = PAGE.render(Context({"configuration": configuration, "banner": banner}))
    response = HttpResponse(html, headers={"Cache-Control": "private, no-store"})
    if personal.started is not None:
        response.set_cookie(**token_cookie(personal.started.token, secure=request.is_secure()))
    return response


urlpatterns = [path("", home)]


def create_app(client: SyncGatewayClient, publishable_key: str) -> WSGIHandler:
    """A shop with one page. One client serves all threads of the process, so it is created once, in the settings."""
    if not settings.configured:
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["shop.test"], SECRET_KEY=secrets.token_urlsafe())
    settings.GATEWAY, settings.PUBLISHABLE_KEY = client, publishable_key
    return get_wsgi_application()
