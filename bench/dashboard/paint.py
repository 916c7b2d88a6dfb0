"""How soon pages are seen, how many bytes they take, and what they cost the server with many endpoints and long series.

`python -m bench.dashboard.paint [--rounds 7] [--endpoints 1000] [--days 14]`

1. A real platform and browser: the first contentful paint of each page beside the log-in page's, with an empty cache
   each time, and the bytes of a first visit as they are sent.
2. So many endpoints with 10 requests/s each in one process, one of them with series of so many days: the processor
   time of the list and of that endpoint's page over each stretch of time.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx
from playwright.sync_api import Browser
from tests.control.house import a_house
from tests.dashboard.web_house import sources
from tests.e2e.running_platform import Platform
from tests.fakes.series import FakeSeries
from tests.services.chromium import chromium

from bench.claims import Claims
from bench.dashboard.series import DAY, HOUR, NOW, an_hour, presence, series_of
from bench.dashboard.synthetic_reports import Reporter
from bench.sample_platform import sample_platform
from tidegate.adapters.series.sql_series import SqlSeries
from tidegate.control.series.shelf import PLATFORM
from tidegate.core.access.principal import ADMIN, PRINCIPAL_HEADER
from tidegate.dashboard.site import Site
from tidegate.dashboard.web_app import create_web_app
from tidegate.ports import PackedHour
from tidegate.public_url import PublicUrl
from tidegate.web_assets import WebAssets

PAGES = {"list": "/", "endpoint": "/endpoints/wine", "models": "/models", "platform": "/platform"}
LOG_IN = "/login"
SPANS = ("1h", "24h", "7d", "14d")
MOST_TIMES, MOST_BYTES, LIST_MS, ENDPOINT_MS = 2.0, 60_000, 150.0, 200.0
_TIMES, _SETTLE_SECONDS = 5, 70

_PAINT = """() => new Promise((done) => {
  const found = () => performance.getEntriesByName("first-contentful-paint")[0];
  const look = () => found() ? done(found().startTime) : setTimeout(look, 10);
  look();
})"""
_BYTES = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""


def main(arguments: Sequence[str] = ()) -> int:
    """Print the figures; returns how many claims do not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--endpoints", type=int, default=1000)
    parser.add_argument("--days", type=int, default=14)
    chosen = parser.parse_args(arguments)
    claims = Claims()
    with sample_platform() as sample, chromium() as browser:
        _paints(claims, browser, sample.platform, chosen.rounds)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_at_scale(claims, Path(folder), chosen.endpoints, chosen.days))
    return len(claims.missed)


# --- in a browser


def _paints(claims: Claims, browser: Browser, platform: Platform, rounds: int) -> None:
    pages = {"log-in": LOG_IN, **PAGES}
    context = browser.new_context(base_url=platform.url)
    page = context.new_page()
    page.goto(LOG_IN)
    page.get_by_label("Token").fill(platform.token)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")
    state = context.storage_state()
    context.close()
    paints, sizes = defaultdict[str, list[float]](list), dict[str, int]()
    for _ in range(rounds + 1):
        for name, path in pages.items():
            context = browser.new_context(base_url=platform.url, storage_state=None if path == LOG_IN else state)
            page = context.new_page()
            page.goto(path)
            paints[name].append(page.evaluate(_PAINT))
            sizes[name] = page.evaluate(_BYTES)
            context.close()
    medians = {name: statistics.median(found[1:]) for name, found in paints.items()}  # the first warms all up
    claims.tell("first paint of the log-in page", f"{medians['log-in']:.0f} ms, median of {rounds}")
    for name in PAGES:
        times = medians[name] / medians["log-in"]
        told = f"{times:.2f} times, {medians[name]:.0f} ms, median of {rounds}"
        claim = f"first paint of {name}, at most {MOST_TIMES:g} times the log-in page's"
        claims.hold(claim, told, met=times <= MOST_TIMES)
        told = f"{sizes[name] / 1000:.1f} kB"
        claims.hold(f"first visit of {name}, at most 60 kB as sent", told, met=sizes[name] <= MOST_BYTES)


# --- with many endpoints


async def _at_scale(claims: Claims, folder: Path, endpoints: int, days: int) -> None:
    store = SqlSeries.in_file(folder / "series.db")
    draw = random.Random(7)
    for hour in range((NOW - days * DAY) // HOUR, NOW // HOUR):
        there = PackedHour(PLATFORM, *presence(hour * HOUR))
        await store.fold(0, hour, [there, PackedHour("endpoint-0", *an_hour(draw, hour * HOUR, 10.0, 1.0))])
    async with a_house(folder / "data", patience=10.0) as house:
        house.control.reconciling.start()
        names = [f"endpoint-{number}" for number in range(endpoints)]
        for name in names:
            await house.create(name)
        async with asyncio.timeout(600):
            while any(endpoint.pending for endpoint in house.store.all_endpoints):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        await house.control.reconciling.stop()
        recorder, series, link = series_of(store, house.clock)
        reporter = Reporter(link, endpoints)
        for _ in range(_SETTLE_SECONDS):
            house.clock.advance(1.0)
            reporter.tick()
            reporter.report()
            await recorder.run_once()
        read = replace(sources(house, FakeSeries({}, house.clock)), series=series)
        site = Site(read, WebAssets.load(), PublicUrl())
        transport = httpx.ASGITransport(create_web_app(site))
        headers = {PRINCIPAL_HEADER: ADMIN, "accept-encoding": "gzip"}
        async with httpx.AsyncClient(transport=transport, base_url="http://bench", headers=headers) as client:
            spent = [await _cpu(client, "/") for _ in range(_TIMES)]
            _hold(claims, f"the list of {endpoints} endpoints", spent, LIST_MS)
            for span in SPANS:
                spent = []
                for _ in range(_TIMES):
                    house.clock.advance(30.0)  # what is remembered for seconds is forgotten
                    spent.append(await _cpu(client, f"/endpoints/endpoint-0?range={span}"))
                _hold(claims, f"an endpoint's page over {span}", spent, ENDPOINT_MS)
        await recorder.stop()
    await store.close()


async def _cpu(client: httpx.AsyncClient, path: str) -> float:
    """The processor time of a page in all threads, milliseconds."""
    began = time.process_time()
    answer = await client.get(path)
    spent = time.process_time() - began
    if answer.status_code != 200:
        raise SystemExit(f"{path} was answered {answer.status_code}.")
    return spent * 1000


def _hold(claims: Claims, what: str, spent: Sequence[float], most: float) -> None:
    told = f"{min(spent):.0f} ms at least, {statistics.median(spent):.0f} ms median of {len(spent)}"
    claims.hold(f"processor time of {what}, below {most:.0f} ms", told, met=min(spent) < most)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
