"""Blocks of points: what comes back is what was written, and what is no block is told so."""

import struct
import zlib
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.series.points import ROWS
from tidegate.core.series import series_codec
from tidegate.core.series.point_table import PointTable
from tidegate.core.series.series_codec import DamagedSeries, chained, decode, encode, tables
from tidegate.core.series.series_point import SeriesPoint

Rows = list[tuple[str, SeriesPoint]]
# A sum is kept to the microsecond; beyond 2 ** 53 of them, to the precision of floating-point numbers.
MICROSECOND, FLOAT = 1.1e-6, 1e-12


def table_of(rows: Rows) -> PointTable:
    table = PointTable()
    for key, point in rows:
        table.add(key, point)
    return table


def assert_same(found: SeriesPoint, given_: SeriesPoint) -> None:
    for field in fields(SeriesPoint):
        after, before = getattr(found, field.name), getattr(given_, field.name)
        if field.name == "cold":
            assert after.keys() == before.keys()
            for name, (count, seconds) in before.items():
                assert after[name] == (count, pytest.approx(seconds, abs=MICROSECOND, rel=FLOAT))
        elif field.name == "steps" or isinstance(before, float):
            assert after == pytest.approx(before, abs=MICROSECOND, rel=FLOAT), field.name
        else:
            assert after == before, field.name


@given(ROWS, st.sampled_from([series_codec.QUICK, series_codec.SMALL]))
def test_rows_come_back_as_they_were(rows: Rows, level: int) -> None:
    found = list(decode(encode(table_of(rows), level)).rows())
    assert [key for key, _ in found] == [key for key, _ in rows]
    for (_, after), (_, before) in zip(found, rows, strict=True):
        assert_same(after, before)


@given(ROWS, ROWS)
def test_a_chain_has_the_tables_of_its_blocks_in_order(one: Rows, other: Rows) -> None:
    chain = chained(encode(table_of(one))) + chained(encode(table_of(other)))
    found = [row for table in tables(chain) for row in table.rows()]
    assert found == [row for rows in (one, other) for row in decode(encode(table_of(rows))).rows()]


def test_an_empty_table_is_a_block() -> None:
    assert list(decode(encode(PointTable())).rows()) == []
    assert list(tables(b"")) == []


def test_a_block_of_another_version_is_told() -> None:
    block = encode(PointTable())
    with pytest.raises(DamagedSeries, match="its version is 9"):
        decode(b"\x09" + block[1:])


@given(ROWS.filter(bool), st.data())
def test_what_is_cut_off_or_changed_is_damaged(rows: Rows, data: st.DataObject) -> None:
    block = encode(table_of(rows))
    cut = data.draw(st.integers(min_value=0, max_value=len(block) - 1))
    with pytest.raises(DamagedSeries):
        decode(block[:cut])
    with pytest.raises(DamagedSeries):
        list(tables(chained(block)[: cut + 1]))
    place, bit = data.draw(st.integers(min_value=0, max_value=len(block) - 1)), data.draw(st.integers(0, 7))
    with pytest.raises(DamagedSeries):
        decode(block[:place] + bytes([block[place] ^ 1 << bit]) + block[place + 1 :])


@given(ROWS.filter(bool), st.data())
def test_a_block_that_makes_no_sense_is_damaged_even_where_its_checksum_is_right(
    rows: Rows, data: st.DataObject
) -> None:
    """Any bytes may be read as a table, or told to be damaged; nothing else happens."""
    plain = bytearray(zlib.decompress(encode(table_of(rows))[5:]))
    for _ in range(data.draw(st.integers(1, 4))):
        plain[data.draw(st.integers(0, len(plain) - 1))] = data.draw(st.integers(0, 255))
    packed = zlib.compress(bytes(plain))
    forged = struct.pack("<BI", series_codec.VERSION, zlib.crc32(packed)) + packed
    try:
        table = decode(forged)
    except DamagedSeries:
        return
    list(table.rows())
    table.condensed(60.0)
