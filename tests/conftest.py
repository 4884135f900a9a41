"""The whole stack, once for all tests that only use it; tests that stop a part of it start it again."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import pytest
from hypothesis import settings
from redis.asyncio import Redis

from local_stack.artifacts.npm import ensure_packages
from local_stack.demo import warmup
from local_stack.stack.local_stack import LocalStack
from tests.support.background_start import BackgroundStart
from tests.support.free_ports import STACK_PORTS, free_port_base
from tests.support.stack_site import Site
from tests.support.temporary import use_own_folder

PARTS = ("kafka", "valkey", "context_writer", "context_stream", "gateway")
TESTS: Final = Path(__file__).parent
NPM_PACKAGES: Final = {
    "compliance": [TESTS / "compliance"],
    "codegen": [TESTS / "codegen"],
    "browser": [TESTS / "browser", TESTS.parent / "examples" / "recipes"],
}
"""Whose packages the tests of a folder install."""

settings.register_profile("quick", max_examples=40)
settings.register_profile("long", max_examples=200)

_TEMPORARY: Final = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`scripts/test --long`."""
    parser.addoption("--long", action="store_true", help="run the tests that take long, and property tests on more examples")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, or with `--long` everything else. Property tests run in both, with `--long` on more examples."""
    wants_long = bool(config.getoption("--long"))
    chosen: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        is_chosen = bool(item.get_closest_marker("long")) == wants_long or (wants_long and _is_property(item))
        (chosen if is_chosen else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = chosen


def _is_property(item: pytest.Item) -> bool:
    """Whether hypothesis draws the examples of a test."""
    return isinstance(item, pytest.Function) and bool(getattr(item.obj, "is_hypothesis_test", False))


def pytest_configure(config: pytest.Config) -> None:
    """The marker is known here too, so that a test can be run from this folder alone."""
    config.stash[_TEMPORARY] = use_own_folder()
    settings.load_profile("long" if config.getoption("--long") else "quick")
    # Kafka, Spark and batch jobs start dozens of times: half of their time would go into compiling what soon ends.
    os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
    config.addinivalue_line("markers", "integration: needs the real Kafka, Valkey and Spark, which it starts")
    config.addinivalue_line("markers", "long: takes long, so it runs with scripts/test --long only")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What failed tests wrote stays for whoever looks for the cause, until the next run."""
    if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        shutil.rmtree(session.config.stash[_TEMPORARY], ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Where the files of failed tests are."""
    if config.stash[_TEMPORARY].exists() and exitstatus == pytest.ExitCode.TESTS_FAILED:
        terminalreporter.write_line(f"Files of these tests are kept in {config.stash[_TEMPORARY]} until the next run.")


@pytest.fixture(scope="session", autouse=True)
def _packages_are_installed_meanwhile(request: pytest.FixtureRequest) -> Iterator[None]:
    """In a fresh clone npm has a minute of work, most of which can be done while unit tests run."""
    selected = {item.path.relative_to(TESTS).parts[0] for item in request.session.items}
    folders = [folder for name, needed in NPM_PACKAGES.items() if name in selected for folder in needed]
    thread = threading.Thread(target=_install, args=(folders if len(selected) > 1 else [],), name="npm")
    thread.start()
    yield
    thread.join()


def _install(folders: list[Path]) -> None:
    with suppress(Exception):  # the test that needs the packages shows what is wrong
        for folder in folders:
            ensure_packages(folder)


@pytest.fixture(scope="session")
def starting_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundStart]:
    """The stack of `stack`, which starts in the background: ask for it where there is something to do meanwhile."""
    base = free_port_base()
    extra = {
        "context_stream": ["--trends-trigger", "1 second", "--snapshot-seconds", "1"],
        "context_writer": ["--metrics-port", str(base + STACK_PORTS)],
    }
    folder = tmp_path_factory.mktemp("whole") / "data"
    start = BackgroundStart(LocalStack(folder, base, PARTS, extra_arguments=extra, report=_no_report), warmup.run)
    try:
        yield start
    finally:
        start.stop()


def _no_report(_: str) -> None:
    """What a stack reports in the background would stand in the output of a test that has nothing to do with it."""


@pytest.fixture(scope="session")
def stack(starting_stack: BackgroundStart) -> LocalStack:
    """A warm stack without the storefront."""
    return starting_stack.ready()


@pytest.fixture
def metrics_pages(stack: LocalStack) -> list[str]:
    """Where the gateway and the context writer show their metrics."""
    return [f"{stack.wiring.gateway_url}/metrics", f"http://127.0.0.1:{stack.ports.gateway + STACK_PORTS}/metrics"]


@pytest.fixture
async def site(stack: LocalStack) -> AsyncIterator[Site]:
    """Clients of the stack. Every part must run before the test, whatever the one before it did."""
    assert [failure.part for failure in stack.dead_parts()] == []
    redis = Redis.from_url(stack.wiring.redis_url)
    try:
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=200)) as http:
            yield Site(stack, http, redis)
    finally:
        await redis.aclose()
