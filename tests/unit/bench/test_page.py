"""What `scripts/bench page` makes of its loads, and the page without personalization that it compares ours with."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from bench.end_to_end import BenchFailed
from bench.page_report import (
    LIVE,
    Check,
    PageKind,
    PageLoad,
    PageMeasurements,
    Verdict,
    as_json,
    checks,
    durations,
    median_interval,
    ratios,
    show,
)
from bench.page_shop import OtherPages, without_snippet
from examples.storefront.app import create_app
from examples.storefront.settings import Settings
from personalization_gateway import TOKEN_COOKIE, GatewayClient

LOAD = PageLoad(
    ttfb_ms=5.0, loaded_ms=60.0, fcp_ms=50.0, lcp_ms=52.0, changed_ms=None, script_ms=1.0, busy_ms=90.0, live_ms=None, swap_ms=None,
    shift=0.0, has_decision=True, script_bytes=0, scripts=(),
)  # fmt: skip
LISTENING = replace(LOAD, live_ms=90.0, swap_ms=40.0)


def run_of(plain: Sequence[PageLoad], hybrid: Sequence[PageLoad]) -> PageMeasurements:
    """Of the other pages every load is alike."""
    loads = {page: [LISTENING if page in LIVE else LOAD] * len(plain) for page in PageKind} | {
        PageKind.PLAIN: list(plain),
        PageKind.QUERIED: list(plain),
        PageKind.HYBRID: list(hybrid),
    }
    return PageMeasurements(loads, [6.0] * 3, dict.fromkeys(PageKind, 0), (1.0, 2.0))


def painted(*first_paints_ms: float) -> list[PageLoad]:
    return [replace(LOAD, fcp_ms=at) for at in first_paints_ms]


def first_paint(*later_ms: float) -> Check:
    """The check of a run in which the hybrid page was painted later by so much, round by round."""
    queried = [50.0 + 40 * (number % 2) for number in range(len(later_ms))]
    hybrid = [at + later for at, later in zip(queried, later_ms, strict=True)]
    return checks(run_of(painted(*queried), painted(*hybrid)))[0]


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(5, -math.inf, math.inf), (6, 1, 6), (10, 2, 9), (20, 6, 15), (30, 10, 21), (100, 40, 61)],
)
def test_interval_of_a_median(count: int, low: float, high: float) -> None:
    """The ranks are those of the sign test's tables; up to five values say nothing at this confidence."""
    assert median_interval([float(value) for value in range(count, 0, -1)]) == (low, high)


def test_first_paint_later_by_less_than_a_frame_holds() -> None:
    """Rounds are compared one by one, so that a machine which slows down between them changes nothing."""
    found = first_paint(4.0, 5.0, 3.0, 5.5, 4.5, 4.0)
    assert found.verdict is Verdict.HOLDS
    assert "+4.2 ms (95 %: +3.0 to +5.5, 6 pairs); a frame takes 8.3 ms" in found.detail
    assert first_paint(-30.0, -20.0, -35.0, -40.0, -35.0, 6.0).verdict is Verdict.HOLDS


def test_first_paint_later_by_what_may_be_a_frame_is_broken() -> None:
    """When it is later for certain, and by less than a frame only perhaps."""
    assert first_paint(9.0, 8.0, 7.0, 10.0, 6.5, 8.0).verdict is Verdict.BROKEN
    assert first_paint(1.0, 1.0, 1.0, 1.0, 1.0, 9.0).verdict is Verdict.BROKEN


def test_first_paint_with_too_much_noise_is_left_open() -> None:
    """An interval with nothing and a frame inside, or too few rounds, gives no verdict either way."""
    assert first_paint(30.0, -20.0, 5.0, 40.0, -35.0, 6.0).verdict is Verdict.OPEN
    assert first_paint(1.0, 1.0, 1.0).verdict is Verdict.OPEN


def test_a_shift_in_one_load_breaks_the_promise() -> None:
    """One load in which something moved is one too many."""
    moved = [LISTENING, replace(LISTENING, shift=0.001), LISTENING]
    assert [check.verdict for check in checks(run_of([LOAD] * 3, moved))[1:]] == [Verdict.BROKEN, Verdict.HOLDS, Verdict.HOLDS]


def test_a_cart_event_that_no_banner_answered_breaks_the_promise() -> None:
    """It is counted over all pages that listen, and takes nothing from the durations of the others."""
    measured = run_of([LOAD] * 2, [LISTENING, replace(LISTENING, swap_ms=None)])
    assert checks(measured)[3].verdict is Verdict.BROKEN
    assert "1 of 6" in checks(measured)[3].detail
    assert checks(run_of([LOAD] * 2, [LISTENING] * 2))[3].verdict is Verdict.HOLDS


def test_a_banner_that_a_script_changed_breaks_the_promise_unless_the_gateway_was_late() -> None:
    """With the decision in the HTML nothing is to change; the shop's own content, sent at the deadline, is to be replaced."""
    changed = replace(LOAD, changed_ms=80.0)
    late = replace(changed, has_decision=False)
    assert checks(run_of([LOAD] * 2, [LOAD, changed]))[2].verdict is Verdict.BROKEN
    assert checks(run_of([LOAD] * 2, [LOAD, late]))[2].verdict is Verdict.HOLDS
    assert checks(run_of([LOAD] * 2, [late, late]))[2].verdict is Verdict.OPEN
    assert run_of([LOAD] * 2, [LOAD, late]).too_late(PageKind.HYBRID) == 1


def test_the_banner_is_there_when_it_was_painted_or_changed_whichever_comes_last() -> None:
    """A banner that a script puts in before the first paint is seen at the first paint."""
    assert LOAD.settled_ms == 50.0
    assert replace(LOAD, changed_ms=80.0).settled_ms == 80.0
    assert replace(LOAD, changed_ms=20.0).settled_ms == 50.0


def test_ratios_are_of_medians_to_the_plain_page() -> None:
    """What the plain page does not have is not compared."""
    found = ratios(run_of(painted(40.0, 50.0, 400.0), painted(50.0, 60.0, 70.0)))
    assert found["first paint"][PageKind.HYBRID] == 1.2
    assert found["first paint"][PageKind.PLAIN] == 1.0
    assert "script time" not in found


def test_what_a_page_does_not_do_has_no_duration() -> None:
    """Only a page that listens has a stream and a swap."""
    quiet, live = durations([LOAD]), durations([LISTENING, LOAD])
    assert (quiet["live stream open"], quiet["cart event to new banner"]) == (None, None)
    swapped = live["cart event to new banner"]
    assert swapped is not None
    assert (swapped.count, swapped.p50_ms) == (1, 40.0)


def test_the_report_names_every_page_and_check(capsys: pytest.CaptureFixture[str]) -> None:
    """The table and the JSON hold the same pages, and the JSON can be written."""
    measured = run_of([LOAD] * 6, [LISTENING] * 6)
    found = json.loads(json.dumps(as_json(measured, {"loads": 6}, "153.0")))
    show(measured)
    table = capsys.readouterr().out
    assert set(found["durations_ms"]) == set(found["counts"]) == {page.value for page in PageKind}
    assert found["gateway_query"]["p50_ms"] == 6.0
    assert all(page.value in table for page in PageKind)
    assert all(check["promise"] in table and check["verdict"] == "HOLDS" for check in found["checks"])


async def page_of(app: Starlette | OtherPages, address: str) -> str:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.test") as client:
        answer = await client.get(address, headers={"cookie": f"{TOKEN_COOKIE}=a.b.c"})
    assert int(answer.headers["content-length"]) == len(answer.content)
    return answer.text


async def test_the_plain_page_is_the_storefronts_without_the_snippet() -> None:
    """Byte for byte the same page, but for what it loads for the snippet; it asks no gateway, for there is none here."""
    storefront = create_app(Settings(publishable_key=SecretStr("")))  # type: ignore[call-arg]  # the rest are defaults
    whole, plain = [await page_of(app, "/") for app in (storefront, OtherPages(storefront))]
    assert "<script" not in plain
    assert "/snippet/" not in plain
    assert len(plain) > 0.9 * len(whole)
    assert re.sub(r'<meta name="live-banner"[^>]*>|<script>.*?</script>', "", whole) == plain
    assert await page_of(OtherPages(storefront), "/cart") == await page_of(storefront, "/cart")


async def test_the_peers_page_has_its_script_in_place_of_ours() -> None:
    """The plain page and, last in its head, the script tag with a key and the address that the script asks."""
    shop = OtherPages(create_app(Settings(publishable_key=SecretStr(""))))  # type: ignore[call-arg]  # the rest are defaults
    plain, peers = await page_of(shop, "/"), await page_of(shop, "/?peer")
    tags = re.findall(r"<script[^>]*></script>", peers)
    assert peers == plain.replace("</head>", "".join(tags) + "</head>")
    assert 'data-api-host="http://shop.test" src="/growthbook/auto.min.js"' in tags[-1]


async def test_the_plain_page_is_made_for_nobody() -> None:
    """A visitor's token does not reach the storefront: for it the gateway would be asked, once more than is measured."""
    names: list[bytes] = []

    async def storefront(scope: Scope, receive: Receive, send: Send) -> None:
        names.extend(name for name, _ in scope["headers"])
        await create_app(Settings(publishable_key=SecretStr("")))(scope, receive, send)  # type: ignore[call-arg]  # the rest are defaults

    assert await page_of(OtherPages(storefront), "/")
    assert b"host" in names
    assert b"cookie" not in names


async def test_the_queried_page_is_the_plain_one_after_a_query() -> None:
    """It asks before anything is sent: without an answer there is no page, so nothing is measured that was not asked."""
    async with GatewayClient("http://127.0.0.1:1/graphql") as nobody:
        shop = OtherPages(create_app(Settings(publishable_key=SecretStr(""))), nobody)  # type: ignore[call-arg]  # the rest are defaults
        assert await page_of(shop, "/")
        with pytest.raises(BenchFailed, match="returns no decision"):
            await page_of(shop, "/?queried")


def test_a_page_without_the_snippet_cannot_be_stripped_of_it() -> None:
    """When the storefront's tags change, the measurement stops instead of comparing something else."""
    with pytest.raises(ValueError, match="has 0 tags like"):
        without_snippet(b"<html><head></head></html>")
