"""The histogram of latencies: its buckets are those of the standards, and its quantiles keep their bound."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.series import latency_histogram as histogram

LATENCIES = st.lists(st.floats(min_value=7e-5, max_value=120.0), min_size=1, max_size=300)
BOUND = 0.011


def counted(latencies: list[float]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for seconds in latencies:
        bucket = histogram.bucket_of(seconds)
        counts[bucket] = counts.get(bucket, 0) + 1
    return counts


@given(LATENCIES, st.floats(min_value=0.0, max_value=1.0))
def test_a_quantile_is_within_its_bound(latencies: list[float], share: float) -> None:
    true = sorted(latencies)[max(0, math.ceil(share * len(latencies)) - 1)]
    found = histogram.quantile(counted(latencies), share)
    assert found is not None
    assert abs(found / true - 1) <= BOUND


@given(LATENCIES, LATENCIES)
def test_histograms_add_up_and_their_growth_is_what_came(one: list[float], other: list[float]) -> None:
    both = counted(one)
    histogram.add(both, counted(other))
    assert both == counted(one + other)
    assert histogram.grown(both, counted(one)) == counted(other)


def test_the_buckets_are_those_of_the_standards() -> None:
    """OpenTelemetry, scale s: bucket i has the values in (base ** i, base ** (i + 1)], base = 2 ** (2 ** -s)."""
    draw = random.Random(3)
    for seconds in (draw.uniform(1e-4, 100.0) for _ in range(2000)):
        theirs = math.ceil(math.log2(seconds) * 2**histogram.SCALE)  # Prometheus' number: the one that ends there
        assert histogram.bucket_of(seconds) + histogram.FIRST_INDEX == theirs


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (-1.0, 0), (2.0**-14, 0), (128.0, 672), (1e9, 673)])
def test_a_latency_beyond_the_bounds_is_counted_at_the_end(seconds: float, bucket: int) -> None:
    assert histogram.bucket_of(seconds) == bucket
    assert histogram.BUCKETS == 674


def test_an_empty_histogram_has_no_quantile() -> None:
    assert histogram.quantile({}, 0.5) is None
    assert histogram.quantiles({histogram.bucket_of(1.0): 3}, (0.0, 1.0)) == pytest.approx((1.0, 1.0), rel=BOUND)
