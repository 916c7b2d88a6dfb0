"""A minute is the difference of two accounts; percentiles are as good as the histogram's buckets."""

import random
from bisect import bisect_left
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.planes.account import Account
from tidegate.core.planes.latency_cells import LATENCY_BUCKETS
from tidegate.core.scaling.minute import MinutePoint, MinuteUse, latencies_ms, minute_point, quantile

SHARES = (0.5, 0.75, 0.9, 0.95, 0.99)
WIDTH = len(LATENCY_BUCKETS) + 1
USE = MinuteUse(60.0)


def histogram(seconds: list[float]) -> list[int]:
    """As the gateways count them."""
    counts = [0] * WIDTH
    for each in seconds:
        counts[bisect_left(LATENCY_BUCKETS, each)] += 1
    return counts


def a_ledger(seconds: list[float], **fields: Any) -> Account:
    count = len(seconds)
    statuses = fields.pop("statuses", {200: count})
    counts = tuple(histogram(seconds))
    return Account(count, count, statuses=statuses, coarse=counts, latency_sum=sum(seconds), **fields)


# --- percentiles


@pytest.mark.parametrize(
    "draw",
    [
        lambda source: source.uniform(0, 0.1),
        lambda source: source.expovariate(50),
        lambda source: source.lognormvariate(-4, 1),
        lambda source: source.choice([0.002, 0.7]),
    ],
)
def test_percentiles_of_known_distributions_are_within_their_bucket(draw: Any) -> None:
    source = random.Random(4)
    seconds = sorted(draw(source) for _ in range(20_000))
    counts = histogram(seconds)
    bounds = (0.0, *LATENCY_BUCKETS)
    for share in SHARES:
        exact = seconds[int(share * len(seconds))]
        at = bisect_left(LATENCY_BUCKETS, exact)
        assert bounds[at] <= quantile(counts, share) <= bounds[at + 1]


def test_within_a_bucket_they_are_interpolated() -> None:
    source = random.Random(5)
    counts = histogram([source.uniform(0, 0.1) for _ in range(50_000)])
    for share in SHARES:
        assert quantile(counts, share) == pytest.approx(share * 0.1, rel=0.02)
    four = histogram([0.06, 0.07, 0.08, 0.09])
    assert [quantile(four, share) for share in (0, 0.25, 0.5, 1)] == pytest.approx([0.05, 0.0625, 0.075, 0.1])


def test_the_least_and_the_greatest_are_the_ends_of_their_buckets() -> None:
    assert latencies_ms(histogram([0.003, 0.004, 0.3])) == pytest.approx((2.5, 4.375, 312.5, 425, 462.5, 492.5, 500))


def test_what_is_over_the_last_bound_counts_as_that() -> None:
    assert latencies_ms(histogram([70.0, 99.0])) == (60_000.0,) * 7


def test_nothing_has_no_latency() -> None:
    assert latencies_ms([]) == latencies_ms([0] * WIDTH) == (None,) * 7


@given(st.lists(st.integers(0, 5), min_size=WIDTH, max_size=WIDTH).filter(any))
def test_they_never_fall(counts: list[int]) -> None:
    found = [value for value in latencies_ms(counts) if value is not None]
    assert found == sorted(found)
    assert len(found) == 7


# --- the minute


def test_a_minute_is_what_came_between_two_accounts() -> None:
    before = a_ledger([0.3, 0.3], statuses={200: 2})
    now = a_ledger([0.3, 0.3, 0.0003, 0.0003, 0.0003, 0.0003], statuses={200: 3, 404: 1, 429: 1, 503: 1})
    point = minute_point(120.0, before, now, USE)
    assert (point.at, point.requests, point.errors_4xx, point.errors_5xx) == (120.0, 4, 2, 1)
    assert (point.min_ms, point.p50_ms, point.max_ms) == (0.0, 0.25, 0.5)


def test_the_first_minute_has_nothing_before_it() -> None:
    point = minute_point(0.0, Account(), a_ledger([0.3]), USE)
    assert (point.requests, point.min_ms, point.max_ms) == (1, 250.0, 500.0)


def test_a_minute_without_anything_is_the_empty_point() -> None:
    ledger = a_ledger([0.3])
    assert minute_point(60.0, ledger, ledger, USE) == MinutePoint(60.0)


def test_accounts_that_fell_make_no_negative_counts() -> None:
    point = minute_point(0.0, a_ledger([0.3] * 9), a_ledger([0.0003]), MinuteUse(60.0, -5.0))
    assert (point.requests, point.min_ms, point.max_ms, point.cpu, point.concurrency) == (0, 0.0, 0.5, 0.0, 0.0)


def test_cpu_is_a_share_of_all_cores_and_at_most_all() -> None:
    ledger = Account()
    assert minute_point(0.0, ledger, ledger, MinuteUse(60.0, 30.0, 2)).cpu == 0.25
    assert minute_point(0.0, ledger, ledger, MinuteUse(60.0, 500.0, 2)).cpu == 1.0
    assert minute_point(0.0, ledger, ledger, MinuteUse(0.0, 1.0, 1)).cpu == 1.0


def test_concurrency_is_what_was_seen_or_else_the_average() -> None:
    busy = a_ledger([0.5] * 60)
    assert minute_point(0.0, Account(), busy, USE).concurrency == 0.5
    assert minute_point(0.0, Account(), busy, MinuteUse(60.0, at_once=3)).concurrency == 3.0
