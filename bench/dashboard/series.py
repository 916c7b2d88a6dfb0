"""The series of many endpoints over 14 days: size, a minute's write, queries, and control's memory and time.

    python -m bench.dashboard.series [--endpoints 1000] [--days 14] [--kind busy|mixed]

Points are synthetic and go straight into the store; the recorder then counts reports of as many endpoints. "busy" is 10
requests/s of every endpoint all the time. "mixed" is 5 % at 100/s, 25 % at 1/s, and 70 % asked in 5 % of the minutes.
With fewer than 1,000 endpoints, sizes and times are extrapolated to them.
"""

import argparse
import asyncio
import math
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from tests.fakes.clock import FakeClock

from bench.claims import Claims
from bench.dashboard.synthetic_reports import Reporter
from tidegate.adapters.series.sql_series import SqlSeries
from tidegate.control.series.blocks import packed_hour
from tidegate.control.series.kept_series import KeptSeries
from tidegate.control.series.recorder import Recorder
from tidegate.control.series.series import resolution
from tidegate.control.series.shelf import PLATFORM
from tidegate.core.rollout.snapshot import Snapshot
from tidegate.core.series.latency_histogram import bucket_of
from tidegate.core.series.point_table import PointTable
from tidegate.core.series.series_point import WHOLE, SeriesPoint
from tidegate.ports import PackedHour

NOW = 1_700_000_000 // 3600 * 3600
DAY, HOUR, MINUTE = 86400, 3600, 60
V1 = "wine-1"
_VARIANTS = 6  # of a busy hour: what is in it does not matter, but it must not be the same bytes
_SPANS = {"1 h": HOUR, "24 h": DAY, "7 d": 7 * DAY, "14 d": 14 * DAY}


def minute(draw: random.Random, at: float, requests: int) -> SeriesPoint:
    """A minute of so many requests, of log-normal latencies around 2 ms."""
    latency: dict[int, int] = {}
    spent = 0.0
    for _ in range(min(requests, 600)):
        seconds = draw.lognormvariate(math.log(0.002), 0.5)
        spent += seconds
        bucket = bucket_of(seconds)
        latency[bucket] = latency.get(bucket, 0) + max(1, requests // 600)
    steps = tuple(spent * share * draw.uniform(0.9, 1.1) for share in (0.05, 0.1, 0.05, 0.7, 0.05, 0.05))
    return SeriesPoint(
        at, 60.0, answered=requests, statuses={200: requests}, latency=latency, latency_seconds=sum(steps),
        stepped=requests, steps=steps, batches=float(requests), request_bytes=200 * requests,
        response_bytes=100 * requests, cpu_seconds=requests * 0.002, ready=2.0, wanted=2.0, memory_bytes=181e6,
        in_flight=2,
    )  # fmt: skip


def an_hour(draw: random.Random, begin: int, rate: float, share: float) -> tuple[bytes, bytes]:
    """An hour at so many requests a second in this share of its minutes, as it is stored."""
    table = PointTable()
    for number in range(60):
        if draw.random() < share:
            point = minute(draw, begin + number * MINUTE, max(1, round(draw.gauss(rate * 60, (rate * 60) ** 0.5))))
            table.add(V1, point)
            table.add(WHOLE, SeriesPoint(point.at, 60.0, accepted=point.answered, in_flight=2))
    return packed_hour(table)


def presence(begin: int) -> tuple[bytes, bytes]:
    """An hour in which control was there."""
    table = PointTable()
    for number in range(60):
        table.add(WHOLE, SeriesPoint(float(begin + number * MINUTE), 60.0, ready=1.0))
    return packed_hour(table)


async def fill(store: SqlSeries, endpoints: int, days: int, kind: str) -> None:
    """Write the hours of all endpoints up to NOW."""
    draw = random.Random(7)
    for hour in range((NOW - days * DAY) // HOUR, NOW // HOUR):
        begin = hour * HOUR
        always = [an_hour(draw, begin, 10.0, 1.0) for _ in range(_VARIANTS)] if kind == "busy" else []
        fast = [an_hour(draw, begin, 100.0, 1.0), an_hour(draw, begin, 1.0, 1.0)] if kind == "mixed" else []
        hours = [PackedHour(PLATFORM, *presence(begin))]
        for number in range(endpoints):
            part = number * 100 // endpoints
            if kind == "busy":
                chains = always[number % _VARIANTS]
            elif part < 30:
                chains = fast[0 if part < 5 else 1]
            elif draw.random() < 1 - 0.95**60:
                chains = an_hour(draw, begin, 1.0, 0.05)
            else:
                continue
            hours.append(PackedHour(f"endpoint-{number}", *chains))
        await store.fold(0, hour, hours)


class TimedSeries(SqlSeries):
    """Notes how long each minute's write takes, seconds."""

    writes: ClassVar[list[float]] = []

    async def append(self, minute: int, shards: Mapping[int, bytes], totals: Mapping[int, bytes]) -> None:
        """As the store's own."""
        began = time.perf_counter()
        await super().append(minute, shards, totals)
        self.writes.append(time.perf_counter() - began)


def series_of(store: SqlSeries, clock: FakeClock) -> tuple[Recorder, KeptSeries, Any]:
    """A recorder and its reader over this store, and the link to gateways that the bench plays."""
    link: Any = SimpleNamespace(reports=(), accounts=SimpleNamespace(latest={}), on_news=None)
    world: Any = SimpleNamespace(snapshot=Snapshot(), observations={})
    recorder = Recorder(link, world, store, clock, 2**40)
    scaler: Any = SimpleNamespace(reasons={})
    return recorder, KeptSeries(recorder, world, scaler, clock), link


async def queries(claims: Claims, series: KeptSeries, days: int) -> None:
    """The processor time of a query at each span: the best of five."""
    for name, span in _SPANS.items():
        if span <= days * DAY:
            best, count = math.inf, 0
            for number in range(5):
                began = time.process_time()
                found = await series.points(f"endpoint-{number}", NOW - span, NOW, resolution(span))
                best, count = min(best, time.process_time() - began), len(found)
            took = f"{best * 1000:.1f} ms, {count} points"
            claims.hold(f"a query over {name} takes < 50 ms of CPU", took, met=best < 0.05)


async def recording(claims: Claims, folder: Path, endpoints: int, seconds: int) -> None:
    """The recorder's processor time a second, and the memory of its rings."""
    clock = FakeClock(float(NOW))
    store = TimedSeries.in_file(folder / "recorded.db")
    recorder, _, link = series_of(store, clock)
    reporter, spent, on_loop = Reporter(link, endpoints), 0.0, 0.0
    for second in range(seconds):
        reporter.tick()
        clock.advance(1.0)
        began, own = time.process_time(), time.thread_time()
        reporter.report()
        await recorder.run_once()
        took = time.process_time() - began
        on_loop = max(on_loop, time.thread_time() - own)
        if second >= MINUTE:
            spent += took
    scale = 1000 / endpoints
    mean = spent / max(1, seconds - MINUTE) * 1000 * scale
    claims.tell("the recorder, CPU a second for 1,000 busy endpoints, all of a minute's work in it", f"{mean:.0f} ms")
    claims.hold("control's loop has < 20 ms at a stretch", f"{on_loop * 1000:.1f} ms", met=on_loop < 0.02)
    size = sum(track.size for track in recorder.tracks.values()) * scale / 1e6
    minutes = min(15, seconds // MINUTE)
    claims.tell("closed seconds of 1,000 busy endpoints", f"{size:.1f} MB for {minutes} minutes")
    if TimedSeries.writes:
        took_ms = min(TimedSeries.writes) * 1000
        claims.hold("a minute's write takes < 20 ms", f"{took_ms:.1f} ms, {endpoints} endpoints", met=took_ms < 20)
    await recorder.stop()
    await store.close()


async def run(arguments: argparse.Namespace) -> int:
    """All figures; returns how many were missed."""
    claims, endpoints, days = Claims(), arguments.endpoints, arguments.days
    limit = {"busy": 3.5e9, "mixed": 0.9e9}[arguments.kind]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = SqlSeries.in_file(folder / "series.db")
        await fill(store, endpoints, days, arguments.kind)
        size = await store.size() * 1000 / endpoints * 14 / days
        claim = f"1,000 endpoints, 14 days, {arguments.kind}: <= {limit / 1e9} GB"
        claims.hold(claim, f"{size / 1e9:.2f} GB", met=size <= limit)
        clock = FakeClock(float(NOW) + 1)
        recorder, series, _ = series_of(store, clock)
        await recorder.run_once()
        await queries(claims, series, days)
        await store.close()
        await recording(claims, folder, endpoints, arguments.seconds)
    return len(claims.missed)


def main(arguments: list[str]) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser("bench.dashboard.series", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--endpoints", type=int, default=1000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--kind", choices=("busy", "mixed"), default="busy")
    parser.add_argument("--seconds", type=int, default=200)
    return asyncio.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
