"""Points of a series: they add up over time and over things."""

from dataclasses import asdict, fields, replace

import pytest

from tidegate.core.series.series_point import SeriesPoint, added, all_beside, beside

FIRST = SeriesPoint(
    60.0, 60.0, False, 10, 8, 1, 1, 0, 0, {200: 8, 429: 1, 504: 1}, {5: 9, 8: 1}, 2.5, 8,
    (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), 4.0, 100, 200, 1, 2, {"forked load": (1, 0.5)},
    3.0, 2.0, 4.0, 100.0, 0.5, 10.0, 4, 5, 0.5,
)  # fmt: skip
SECOND = SeriesPoint(
    120.0, 30.0, True, 5, 5, 0, 0, 0, 0, {200: 5}, {5: 5}, 0.5, 5, (1.0, 0.0, 0.0, 0.0, 0.0, 0.0), 5.0, 10, 20, 1, 1,
    {"forked load": (1, 0.25), "spawned load": (1, 1.0)}, 1.0, 5.0, 1.0, 400.0, 0.2, 40.0, 9, 1, 0.25,
)  # fmt: skip


def test_points_one_after_the_other_average_their_gauges_by_time() -> None:
    both = added(FIRST, SECOND)
    assert (both.at, both.seconds, both.gap) == (60.0, 90.0, True)
    assert (both.accepted, both.answered, both.requests, both.of_class(4), both.of_class(5)) == (15, 13, 15, 1, 1)
    assert both.latency == {5: 14, 8: 1}
    assert both.steps == (2.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    assert both.cold == {"forked load": (2, 0.75), "spawned load": (1, 1.0)}
    assert (both.ready, both.wanted, both.memory_bytes) == pytest.approx((3.0, 3.0, 200.0))
    assert (both.in_flight, both.queued, both.oldest_wait_seconds) == (9, 5, 0.5)


def test_many_points_are_summed_as_two_and_two_are() -> None:
    third = replace(FIRST, at=150.0, seconds=10.0, ready=7.0)
    at_once, in_turn = added(FIRST, SECOND, third), added(added(FIRST, SECOND), third)
    assert asdict(at_once) == {
        name: pytest.approx(value) if isinstance(value, float) else value for name, value in asdict(in_turn).items()
    }
    assert added(FIRST) == FIRST
    empty = SeriesPoint(5.0, 0.0, ready=2.0)
    assert added(empty, replace(empty, ready=4.0)).ready == 3.0


def test_points_beside_each_other_add_their_gauges() -> None:
    both = beside(FIRST, SeriesPoint(60.0, 60.0, ready=1.0, memory_bytes=50.0))
    assert (both.seconds, both.ready, both.memory_bytes, both.accepted) == (60.0, 3.0, 150.0, 10)
    assert all_beside([], 5.0, 1.0) == SeriesPoint(5.0, 1.0)


def test_no_field_is_forgotten() -> None:
    """An empty point beside another changes nothing of it."""
    for point in (FIRST, SECOND):
        assert beside(point, SeriesPoint(point.at, point.seconds)) == point
        assert all(getattr(point, field.name) for field in fields(point) if field.name not in {"gap", *ZERO})


ZERO = {"client_gone", "lost", "rejected", "timed_out"}
