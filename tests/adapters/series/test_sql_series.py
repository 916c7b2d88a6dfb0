"""The series' SQLite file: what is wrong with it is told, and keeps nothing else from going on."""

import asyncio
import logging
from pathlib import Path

import pytest
from sqlalchemy import inspect

from tests.services.postgresql import postgresql_server
from tidegate.adapters.series.series_tables import METADATA, postgresql_engine
from tidegate.adapters.series.sql_series import SqlSeries
from tidegate.core.errors import Unavailable
from tidegate.ports import PackedHour


async def test_what_was_written_is_there_for_the_next_process(tmp_path: Path) -> None:
    first = SqlSeries.in_file(tmp_path / "series.db")
    await first.append(120, {3: b"a"}, {3: b"t"})
    await first.close()
    second = SqlSeries.in_file(tmp_path / "series.db")
    assert (await second.tail(3, 120, 120), await second.totals()) == ([b"a"], {3: b"t"})
    await second.close()


@pytest.mark.parametrize("damage", [b"no database at all" * 500, b"SQLite format 3\0" + b"\xff" * 8000])
async def test_a_damaged_file_is_set_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    path = tmp_path / "series.db"
    path.write_bytes(damage)
    store = SqlSeries.in_file(path)
    with caplog.at_level(logging.WARNING), pytest.raises(Unavailable):
        await store.append(120, {3: b"a"}, {})
    assert "damaged; begun anew" in caplog.text
    assert path.with_suffix(".damaged").read_bytes() == damage
    await store.append(120, {3: b"a"}, {})
    assert await store.tail(3, 120, 120) == [b"a"]
    await store.close()


async def test_a_damaged_head_of_the_file_is_set_aside_too(tmp_path: Path) -> None:
    path = tmp_path / "series.db"
    store = SqlSeries.in_file(path)
    await store.append(120, {3: b"a"}, {})
    await store.close()
    whole = bytearray(path.read_bytes())
    whole[44:48] = b"\0\0\0\x7f"  # the format of the schema
    path.write_bytes(bytes(whole))
    store = SqlSeries.in_file(path)
    with pytest.raises(Unavailable, match="unsupported file format"):
        await store.totals()
    assert await store.totals() == {}
    await store.close()


async def test_a_page_that_was_damaged_while_it_ran_is_set_aside_too(tmp_path: Path) -> None:
    path = tmp_path / "series.db"
    store = SqlSeries.in_file(path)
    for hour in range(200):
        await store.fold(3, hour, [PackedHour("wine", bytes(3000), b"q")])
    await store.close()
    whole = bytearray(path.read_bytes())
    whole[4096:] = b"\x5a" * (len(whole) - 4096)
    path.write_bytes(bytes(whole))
    store = SqlSeries.in_file(path)
    with pytest.raises(Unavailable):
        await store.minutes("wine", 0, 300)
    assert await store.minutes("wine", 0, 300) == []
    await store.close()


async def test_a_folder_that_is_missing_is_told_at_the_first_call(tmp_path: Path) -> None:
    store = SqlSeries.in_file(tmp_path / "missing" / "series.db")
    with pytest.raises(Unavailable, match="unable to open"):
        await store.totals()
    (tmp_path / "missing").mkdir()
    assert await store.totals() == {}
    await store.close()


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqlSeries.in_file(tmp_path / "series.db")
    await store.close()
    with pytest.raises(Unavailable, match="stopping"):
        await store.totals()


async def test_calls_at_once_wait_for_each_other(tmp_path: Path) -> None:
    store = SqlSeries.in_file(tmp_path / "series.db")
    await asyncio.gather(*(store.append(120, {3: b"%d" % number}, {}) for number in range(10)))
    assert sorted((await store.tail(3, 120, 120))[0].decode()) == sorted("0123456789")
    await store.close()


def test_the_migrations_make_the_tables_of_postgresql() -> None:
    with postgresql_server() as url:
        engine = postgresql_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        found = inspect(engine)
        for table in METADATA.sorted_tables:
            columns = {
                column["name"]: (str(column["type"]), column["nullable"]) for column in found.get_columns(table.name)
            }
            expected = {column.name: (column.type.compile(engine.dialect), column.nullable) for column in table.columns}
            assert columns == expected
            assert found.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key]
            assert {index["name"] for index in found.get_indexes(table.name)} == {index.name for index in table.indexes}
        engine.dispose()
