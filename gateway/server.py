"""Serving the gateway with uvicorn, in one process or in several that share a port."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.supervisors import Multiprocess

from gateway.api.schema import build_schema
from gateway.app import Gateway
from gateway.background import BackgroundTasks
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.rulesets.ruleset import InvalidRuleset, Ruleset
from gateway.settings import Settings, load_settings
from gateway.telemetry import configure_logging
from gateway.transport.documents.manifest import InvalidManifest, read_manifests
from gateway.transport.documents.persisted_documents import check_documents

SHUTDOWN_SECONDS = 8
PEER_TIMEOUT_MS = 20_000
FIRST_VERSION = 1


class CannotStart(Exception):
    """Why the gateway cannot start, and how to fix it."""


def read_ruleset(path: Path) -> Ruleset:
    """The ruleset in a file. Raises `CannotStart` with every mistake as file:line:column."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise CannotStart(f"the ruleset file {path} cannot be read: {problem}; set GATEWAY_RULESET_FILE to another file") from problem
    try:
        return load_ruleset(text, FIRST_VERSION)
    except InvalidRuleset as problem:
        raise CannotStart(problem.text(str(path))) from problem


def _check_manifests(settings: Settings) -> None:
    """Raise `CannotStart` if a trusted document, or a file of them, is invalid."""
    try:
        documents = read_manifests(settings.documents_file)
        if documents:
            check_documents(build_schema(), documents.values(), production=settings.environment == "production")
    except InvalidManifest as problem:
        raise CannotStart(f"GATEWAY_DOCUMENTS_FILE:\n{problem}") from problem


def serve(settings: Settings, host: str, port: int, workers: int) -> int:
    """Serve until stopped. Returns the exit code. Raises `CannotStart`."""
    read_ruleset(settings.ruleset_file)
    _check_manifests(settings)
    listener = _listen(host, port)
    config = uvicorn.Config(
        "gateway.server:create_app",
        factory=True,
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=64 * 1024,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    if workers > 1:
        Multiprocess(config, sockets=[listener]).run()
        return 0
    configure_logging(settings.log_level)
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    return 0 if server.started else 1


def create_app() -> ASGIApp:
    """The application of one process, configured by the environment."""
    settings = load_settings()
    configure_logging(settings.log_level)
    gateway = Gateway(settings, read_ruleset(settings.ruleset_file))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            _close_streams_on_signal(gateway)
        await gateway.app(scope, receive, send)

    return app


def _close_streams_on_signal(gateway: Gateway) -> None:
    """End open streams as soon as the process gets a signal to stop.

    uvicorn waits for open streams before it shuts the application down, so the application must not wait for that shutdown.
    """
    loop = asyncio.get_running_loop()
    closing = BackgroundTasks()

    def close() -> None:
        closing.start(gateway.close_streams())

    for number in (signal.SIGTERM, signal.SIGINT):
        previous = signal.getsignal(number)

        def handle(received: int, frame: FrameType | None, previous: Any = previous) -> None:
            loop.call_soon_threadsafe(close)
            if callable(previous):
                previous(received, frame)

        signal.signal(number, handle)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as problem:
        listener.close()
        raise CannotStart(f"the gateway cannot listen on {host}:{port}: {problem.strerror}; choose another with --port") from problem
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # A peer that reads nothing for this long is gone. ASGI has no other way to release its socket.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PEER_TIMEOUT_MS)
    listener.set_inheritable(True)
    return listener
