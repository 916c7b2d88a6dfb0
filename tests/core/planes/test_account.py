"""Accounts add up, travel, and make the points of the series."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.planes.account import Account, completed, grown, in_flight, total
from tidegate.core.planes.latency_cells import LATENCY_BUCKETS, LATENCY_CELLS, fine
from tidegate.core.series.series_point import WHOLE, SeriesPoint, beside

COUNT = st.integers(0, 2**40)
SECONDS = st.integers(0, 2**40).map(float)  # whole ones, so that their sums are exact
COUNTS = st.dictionaries(st.integers(0, LATENCY_CELLS - 1), st.integers(1, 2**40), max_size=5)
COARSE = st.one_of(st.just(()), st.tuples(*[COUNT] * (len(LATENCY_BUCKETS) + 1)))
ACCOUNTS = st.builds(
    Account,
    *[COUNT] * 6,
    st.dictionaries(st.sampled_from([200, 400, 503]), st.integers(1, 2**40)),
    COUNTS,
    COARSE,
    SECONDS,
    *[COUNT] * 5,
    st.tuples(*[SECONDS] * 6),
    SECONDS,
    st.dictionaries(st.sampled_from(["fork total", "spawn load"]), st.tuples(st.integers(1, 99), SECONDS)),
)


def test_a_new_account_balances() -> None:
    account = Account()
    assert account.accepted == account.ended == account.in_flight == 0
    assert account.latency_counts == (0,) * (len(LATENCY_BUCKETS) + 1)


@given(ACCOUNTS, ACCOUNTS)
def test_sums_count_everything_once(one: Account, other: Account) -> None:
    both = one.plus(other)
    assert both == other.plus(one) == total([one, other])
    assert both.in_flight == one.in_flight + other.in_flight == in_flight([one, other])
    assert both.latency_counts == tuple(a + b for a, b in zip(one.latency_counts, other.latency_counts, strict=True))
    assert one.plus(Account()) == one


@given(ACCOUNTS)
def test_an_account_travels_unchanged(account: Account) -> None:
    assert msgspec.json.decode(msgspec.json.encode(account), type=Account) == account


@given(ACCOUNTS, ACCOUNTS)
def test_what_an_account_has_gained_is_the_point(before: Account, more: Account) -> None:
    now = before.plus(more)
    point = grown(now, before, 60.0, 1.0)
    assert point == grown(more, None, 60.0, 1.0)
    assert (point.at, point.seconds, point.accepted, point.answered) == (60.0, 1.0, more.accepted, more.answered)
    assert (point.latency, point.statuses) == (fine(more.cells), more.statuses)
    assert (point.steps, point.stepped, point.batches) == (more.steps, more.stepped, more.batches)
    assert point.cold == more.cold
    assert point.latency_seconds == more.latency_sum
    assert grown(before, now, 60.0, 1.0) == SeriesPoint(60.0, 1.0)  # a count that fell counts as unchanged
    one, other = grown(before, None, 60.0, 1.0), grown(more, None, 60.0, 1.0)
    assert beside(one, other) == grown(now, None, 60.0, 1.0)


def test_a_part_of_a_report_is_enough() -> None:
    before = Account(answered=5, cells={3: 4, 9: 1})
    news = Account(answered=6, cells={9: 2})
    assert grown(news, before, 0.0, 1.0) == grown(news.onto(before), before, 0.0, 1.0)


def test_accounts_are_completed_from_what_was_touched() -> None:
    own, served = Account(5, rejected=2, coarse=(1,) * 17), Account(answered=3, cells={3: 3})
    before = {WHOLE: own, "v1": served}
    assert completed({}, before, 6) == {WHOLE: own._replace(accepted=6), "v1": served}
    touched = {"v1": Account(answered=4, cells={5: 1}), "v2": Account(answered=1, cells={5: 1})}
    whole = completed(touched, before, 6)
    assert whole["v1"] == Account(answered=4, cells={3: 3, 5: 1})
    assert whole["v2"] is touched["v2"]
    refused = Account(7, rejected=3, cells={1: 1})
    assert completed({WHOLE: refused}, before, 7)[WHOLE] == refused
    assert completed({}, {}, 1) == {WHOLE: Account(1)}
    assert completed(touched, before, None)[WHOLE] is own
    assert before == {WHOLE: own, "v1": served}
