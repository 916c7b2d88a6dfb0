"""A minute is a point of the series; its percentiles are as good as the fine histogram."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.scaling.minute import MinutePoint, minute_point
from tidegate.core.series.latency_histogram import bucket_of
from tidegate.core.series.series_point import SeriesPoint

SHARES = {"p50_ms": 0.5, "p75_ms": 0.75, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99}


def a_point(latencies: list[float]) -> SeriesPoint:
    histogram: dict[int, int] = {}
    for seconds in latencies:
        bucket = bucket_of(seconds)
        histogram[bucket] = histogram.get(bucket, 0) + 1
    return SeriesPoint(60.0, 60.0, statuses={200: len(latencies)}, latency=histogram, latency_seconds=sum(latencies))


@given(st.integers(0, 2**32), st.sampled_from(["constant", "log-normal", "exponential", "two kinds", "uniform"]))
def test_percentiles_are_within_one_and_a_tenth_percent(seed: int, shape: str) -> None:
    draw = random.Random(seed)
    shapes = {
        "constant": lambda: 0.025,
        "log-normal": lambda: draw.lognormvariate(math.log(0.002), 0.6),
        "exponential": lambda: draw.expovariate(1 / 0.05) + 0.001,
        "two kinds": lambda: draw.choice((0.0005, 1.5)) * draw.uniform(0.9, 1.1),
        "uniform": lambda: draw.uniform(0.001, 10.0),
    }
    latencies = sorted(shapes[shape]() for _ in range(draw.randrange(1, 500)))
    point = minute_point(a_point(latencies), 60.0, 1)
    for name, share in SHARES.items():
        true = latencies[max(0, math.ceil(share * len(latencies)) - 1)]
        assert getattr(point, name) == pytest.approx(true * 1000, rel=0.011), name
    assert point.min_ms == pytest.approx(latencies[0] * 1000, rel=0.011)
    assert point.max_ms == pytest.approx(latencies[-1] * 1000, rel=0.011)


def test_counts_and_resources() -> None:
    point = SeriesPoint(
        60.0, 60.0, statuses={200: 5, 400: 2, 429: 1, 500: 3, 504: 1}, latency_seconds=90.0, cpu_seconds=60.0,
        memory_bytes=8.0, in_flight=1,
    )  # fmt: skip
    found = minute_point(point, 30.0, 4)
    assert (found.at, found.requests, found.errors_4xx, found.errors_5xx) == (60.0, 12, 3, 4)
    assert (found.cpu, found.memory_bytes, found.concurrency) == (0.5, 8, 3.0)


def test_a_minute_without_requests_is_empty() -> None:
    assert minute_point(SeriesPoint(60.0, 60.0), 60.0, 4) == MinutePoint(60.0)
