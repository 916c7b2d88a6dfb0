"""Tables of points: what they sum up is what the points add up to."""

from dataclasses import fields, replace
from functools import reduce

import pytest
from hypothesis import given

from tests.core.series.points import ROWS
from tidegate.core.series.point_table import LARGEST, MICRO, PointTable
from tidegate.core.series.series_point import STEPS, SeriesPoint, added, beside

Rows = list[tuple[str, SeriesPoint]]
BUSY = SeriesPoint(
    120.0, 60.0, accepted=9, answered=8, statuses={200: 7, 500: 1}, latency={5: 6, 80: 2}, latency_seconds=2.5,
    stepped=8, steps=(0.1, 0.2, 0.3, 0.4, 0.5, 1.0), batches=4.0, ready=2.0, wanted=3.0, memory_bytes=300.0,
    in_flight=4, queued=2, oldest_wait_seconds=0.25, cold={"forked load": (1, 0.5)}, cpu_seconds=0.75,
)  # fmt: skip


def table_of(*rows: tuple[str, SeriesPoint]) -> PointTable:
    table = PointTable()
    for key, point in rows:
        table.add(key, point)
    return table


def assert_like(found: SeriesPoint, expected: SeriesPoint) -> None:
    for field in fields(SeriesPoint):
        after, before = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(before, float) or field.name == "steps":
            assert after == pytest.approx(before, abs=2e-5, rel=1e-9), field.name
        elif field.name == "cold":
            assert after.keys() == before.keys()
        else:
            assert after == before, field.name


def test_points_of_one_slot_and_of_several_keys_are_added_up() -> None:
    later = replace(BUSY, at=180.0, in_flight=9, ready=4.0)
    table = table_of(("v1", BUSY), ("v2", replace(BUSY, ready=1.0)), ("v1", later), ("v2", replace(later, at=240.0)))
    first, second = table.condensed(120.0)
    assert_like(first, added(beside(BUSY, replace(BUSY, ready=1.0)), later))
    assert (second.at, second.seconds, second.ready) == (240.0, 120.0, 4.0)


def test_only_the_asked_keys_are_added_up() -> None:
    table = table_of(("v1", BUSY), ("v2", BUSY), ("", SeriesPoint(120.0, 60.0, accepted=3)))
    [one] = table.condensed(60.0, {"v2"})
    assert_like(one, BUSY)
    [all_of_them] = table.condensed(60.0)
    assert (all_of_them.accepted, all_of_them.answered) == (21, 16)
    assert table.condensed(60.0, {"v3"}) == []


def test_averages_are_over_the_known_time() -> None:
    """A replica that was there for one of five known minutes counts as a fifth."""
    table = table_of(("v1", BUSY))
    [slot] = table.condensed(300.0, known=lambda at: 300.0 if at == 0.0 else 0.0)
    assert (slot.at, slot.seconds, slot.memory_bytes) == (0.0, 300.0, 60.0)
    assert slot.ready == pytest.approx(0.4)


def test_a_point_that_is_wider_than_the_step_stays_by_itself() -> None:
    wide = replace(BUSY, at=7.0, seconds=400.0, gap=True)
    found = table_of(("v1", replace(BUSY, at=0.0)), ("v1", wide), ("v2", wide)).condensed(60.0)
    assert [(point.at, point.seconds, point.gap, point.answered) for point in found] == [
        (0.0, 60.0, False, 8),
        (7.0, 400.0, True, 16),
    ]


@given(ROWS, ROWS)
def test_a_table_with_another_ones_rows_is_as_if_they_were_added(one: Rows, other: Rows) -> None:
    joined = table_of(*one)
    joined.extend(table_of(*other))
    assert list(joined.rows()) == list(table_of(*one, *other).rows())
    further = [("more", replace(point, at=point.at + 1)) for _, point in other]
    for key, point in further:
        joined.add(key, point)
    assert list(joined.rows()) == list(table_of(*one, *other, *further).rows())


@given(ROWS)
def test_counts_are_neither_lost_nor_made(rows: Rows) -> None:
    found = table_of(*rows).condensed(60.0)
    for name in ("accepted", "answered", "request_bytes"):
        assert sum(getattr(point, name) for point in found) == sum(getattr(point, name) for _, point in rows)
    latency: dict[int, int] = reduce(
        lambda sums, point: {**sums, **{k: sums.get(k, 0) + n for k, n in point[1].latency.items()}}, rows, {}
    )
    merged: dict[int, int] = {}
    for point in found:
        for bucket, count in point.latency.items():
            merged[bucket] = merged.get(bucket, 0) + count
    assert merged == latency


def test_a_number_that_no_column_can_hold_counts_as_the_largest() -> None:
    huge = replace(BUSY, answered=2**70, steps=(1e30,) * len(STEPS))
    [(_, found)] = table_of(("v1", huge)).rows()
    assert found.answered == LARGEST
    assert found.steps == (LARGEST / MICRO,) * len(STEPS)
