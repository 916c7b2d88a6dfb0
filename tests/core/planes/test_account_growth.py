"""The way of each second says the same as the points of `grown`."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.core.series.points import COUNTS, drawn_point
from tidegate.core.planes.account import Account, grown
from tidegate.core.planes.account_growth import gains
from tidegate.core.series.point_table import COLUMN, MICRO, PointTable

HELD = [name for name in COUNTS if name in Account._fields]


def drawn_account(draw: Random, before: Account) -> Account:
    point = drawn_point(draw)
    return Account(
        **{name: getattr(before, name) + getattr(point, name) % 1000 for name in HELD},
        statuses={200: before.statuses.get(200, 0) + draw.randrange(5), 500: draw.randrange(3)},
        cells={cell: before.cells.get(cell, 0) + draw.randrange(4) for cell in draw.sample(range(600), 5)},
        latency_sum=before.latency_sum + draw.random(),
        steps=tuple(spent + draw.random() for spent in before.steps),
        batches=before.batches + draw.random(),
    )


@given(st.integers(0, 2**32))
def test_a_row_of_gains_is_the_point_of_grown(seed: int) -> None:
    draw = Random(seed)
    before = drawn_account(draw, Account())
    now = drawn_account(draw, before)
    numbers, statuses, latency = gains(now, before)
    one, other = PointTable(), PointTable()
    one.add_numbers("v", 60 * MICRO, [*numbers, (COLUMN["seconds"], MICRO)], statuses, latency)
    point = grown(now, before, 60.0, 1.0)
    other.add("v", point)
    [(_, found)], [(_, expected)] = list(one.rows()), list(other.rows())
    if now.stepped == before.stepped:  # steps and batches belong to answers with steps
        return
    assert found == expected


def test_what_has_not_moved_has_no_gain() -> None:
    account = drawn_account(Random(1), Account())
    numbers, statuses, latency = gains(account, account)
    assert not any(number for _, number in numbers)
    assert (statuses, latency) == ({}, {})
