"""A gateway process of a test's own, beside the one of the stack."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from local_stack.api import Api
from local_stack.stack.local_stack import LocalStack
from tests.support.stack_site import until


@dataclass(frozen=True)
class SecondGateway:
    """Where it listens. Its log is read by `log`."""

    url: str
    log_file: str

    def log(self) -> str:
        with open(self.log_file, encoding="utf-8") as file:  # noqa: PTH123
            return file.read()


@asynccontextmanager
async def second_gateway(
    stack: LocalStack, http: httpx.AsyncClient, log_file: str, *, path: str = "/readyz", extra: Mapping[str, str] | None = None
) -> AsyncIterator[SecondGateway]:
    """A process on a free port, ready when `path` answers 200; ended when the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = stack.environment("gateway") | dict(extra or {})
    with open(log_file, "wb") as log:  # noqa: ASYNC230, PTH123
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "serve", "--port", str(port), env=environment, stdout=log, stderr=log
        )
    gateway = SecondGateway(url, log_file)

    async def answers() -> bool:
        assert process.returncode is None, gateway.log()
        try:
            return (await http.get(url + path)).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        await until(answers, lambda: f"the second gateway does not answer: {gateway.log()}")
        yield gateway
    finally:
        process.terminate()
        await process.wait()


def at(gateway: SecondGateway, like: Api) -> Api:
    """The same credential, at the second gateway."""
    return Api(like.http, gateway.url, like.credential)
