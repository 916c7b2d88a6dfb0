"""What every SeriesStore promises."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fakes.series_store import FakeSeriesStore
from tests.services.postgresql import postgresql_server
from tidegate.adapters.series.sql_series import SqlSeries
from tidegate.ports import PackedHour, SeriesStore


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgresql_server() as url:
        yield url.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture(params=["sqlite", "postgresql", "fake"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SeriesStore]:
    made: SeriesStore
    if request.param == "fake":
        made = FakeSeriesStore()
    elif request.param == "sqlite":
        made = SqlSeries.in_file(tmp_path / "series.db")
    else:
        made = SqlSeries.in_database(request.getfixturevalue("database"))
        await empty(made)
    yield made
    await made.close()


async def empty(store: SeriesStore) -> None:
    while await store.trim(0, 10**6):
        pass
    await store.append(0, {}, dict.fromkeys(await store.totals(), b""))


async def test_a_new_store_has_nothing(store: SeriesStore) -> None:
    assert (await store.tail(3, 0, 10**6), await store.oldest()) == ([], {})
    assert not any((await store.totals()).values())
    assert (await store.minutes("wine", 0, 10**6), await store.quarters("wine", 0, 10**6)) == ([], [])
    assert not await store.trim(2**40, 0)


async def test_minutes_come_by_shard_and_in_order(store: SeriesStore) -> None:
    await store.append(121, {3: b"b", 4: b"x"}, {})
    await store.append(120, {3: b"a"}, {})
    await store.append(125, {3: b"c"}, {})
    assert await store.tail(3, 120, 124) == [b"a", b"b"]
    assert await store.tail(3, 125, 125) == [b"c"]
    assert await store.tail(4, 0, 10**6) == [b"x"]
    assert await store.oldest() == {3: 120, 4: 121}


async def test_a_minute_that_comes_again_is_appended_and_totals_are_replaced(store: SeriesStore) -> None:
    await store.append(120, {3: b"\0a"}, {3: b"1", 4: b"2"})
    await store.append(120, {3: b"b\xff"}, {3: b"3"})
    assert await store.tail(3, 120, 120) == [b"\0ab\xff"]
    totals = await store.totals()
    assert (totals[3], totals[4]) == (b"3", b"2")


async def test_an_hour_is_folded_out_of_the_tail(store: SeriesStore) -> None:
    for minute in (119, 120, 179, 180):
        await store.append(minute, {3: b"m", 4: b"n"}, {})
    await store.fold(3, 2, [PackedHour("wine", b"minutes", b"quarters"), PackedHour('ü"', b"M", b"Q")])
    assert await store.oldest() == {3: 119, 4: 119}
    assert await store.tail(3, 0, 10**6) == [b"m", b"m"]
    assert len(await store.tail(4, 0, 10**6)) == 4
    assert (await store.minutes("wine", 2, 2), await store.quarters("wine", 2, 2)) == ([b"minutes"], [b"quarters"])
    assert await store.minutes('ü"', 0, 9) == [b"M"]
    assert await store.minutes("wine", 3, 9) == []


async def test_an_hour_that_comes_again_is_appended_to(store: SeriesStore) -> None:
    await store.fold(3, 7, [PackedHour("wine", b"a", b"b")])
    await store.fold(3, 7, [PackedHour("wine", b"c", b"d")])
    await store.fold(3, 6, [PackedHour("wine", b"0", b"1")])
    assert await store.minutes("wine", 6, 7) == [b"0", b"ac"]
    assert await store.quarters("wine", 0, 9) == [b"1", b"bd"]


async def test_above_the_budget_the_oldest_minutes_go_and_quarters_stay(store: SeriesStore) -> None:
    for hour in range(100):
        await store.fold(3, hour, [PackedHour("wine", bytes(20_000), b"q" * 100)])
    before = await store.size()
    assert before > 2_000_000
    while await store.trim(1_000_000, 0):
        pass
    assert await store.size() <= 1_000_000
    kept = await store.minutes("wine", 0, 99)
    assert 20 < len(kept) < 50
    assert len(await store.minutes("wine", 99 - len(kept) + 1, 99)) == len(kept)
    assert len(await store.quarters("wine", 0, 99)) == 100


async def test_what_is_too_old_is_forgotten_in_steps(store: SeriesStore) -> None:
    for hour in range(60):
        await store.fold(3, hour, [PackedHour(name, b"m", b"q") for name in ("wine", "tea")])
    await store.append(59, {4: b"x"}, {})
    await store.append(50 * 60, {4: b"y"}, {})
    steps = 0
    while await store.trim(2**40, 50):
        steps += 1
    assert steps >= 1
    assert len(await store.quarters("wine", 0, 10**6)) == len(await store.minutes("tea", 0, 10**6)) == 10
    assert await store.oldest() == {4: 50 * 60}
