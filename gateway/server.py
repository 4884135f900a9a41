"""Serving the gateway with uvicorn: one process, or several that share a port."""

from __future__ import annotations

import socket
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from gateway.app import Gateway
from gateway.model.ruleset import InvalidRuleset, Ruleset
from gateway.model.ruleset_yaml import load_ruleset
from gateway.settings import Settings, load_settings
from gateway.telemetry import configure_logging

SHUTDOWN_SECONDS = 8
PEER_TIMEOUT_MS = 20_000
FIRST_VERSION = 1


class CannotStart(Exception):
    """What keeps the gateway from starting, with the remedy."""


def read_ruleset(path: Path) -> Ruleset:
    """The ruleset of a file, or raise `CannotStart` with every mistake as file:line:column."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise CannotStart(f"the ruleset file {path} cannot be read: {problem}; name one by GATEWAY_RULESET_FILE") from problem
    try:
        return load_ruleset(text, FIRST_VERSION)
    except InvalidRuleset as problem:
        raise CannotStart("\n".join(one.text(str(path)) for one in problem.problems)) from problem


def serve(settings: Settings, host: str, port: int, workers: int) -> int:
    """Serve until stopped; gives the exit code. Raises `CannotStart`."""
    read_ruleset(settings.ruleset_file)
    listener = _listen(host, port)
    if workers == 1:
        return _run([listener])
    config = _config(None)
    Multiprocess(config, target=_run_worker, sockets=[listener]).run()
    return 0


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
        # A peer that takes nothing for so long is gone; ASGI has no other way to let go of its socket.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PEER_TIMEOUT_MS)
    listener.set_inheritable(True)
    return listener


def _config(gateway: Gateway | None) -> uvicorn.Config:
    return uvicorn.Config(
        gateway.app if gateway else "gateway.server:unused",
        log_config=None,
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=64 * 1024,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
        workers=2,
    )


def _run_worker(sockets: list[socket.socket]) -> None:
    _run(sockets)


def _run(sockets: list[socket.socket]) -> int:
    settings = load_settings()
    configure_logging(settings.log_level)
    gateway = Gateway(settings, read_ruleset(settings.ruleset_file))
    server = _Server(_config(gateway), gateway)
    server.run(sockets=sockets)
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    """uvicorn waits for open streams before it lets the application shut down; so the streams are ended first."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._gateway.close_streams()
        await super().shutdown(sockets)
