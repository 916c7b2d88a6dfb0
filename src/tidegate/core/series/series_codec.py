"""Tables of points as bytes, and back.

A block is: a byte with the version, four bytes with the CRC-32 of the rest, and the rest by zlib. Within: the length
of a head in JSON (number of rows, first begin, names), the head, the columns and the lists. A column is its width in
bytes, and then all lowest bytes, all second bytes and so on, as neighbours there are alike. Blocks in a row, each after
its length, are a chain: what is recorded of the same time again is appended to it.
"""

import json
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator

from tidegate.core.series.latency_histogram import BUCKETS
from tidegate.core.series.point_table import COLUMNS, LISTS, MICRO, PointTable
from tidegate.core.series.series_point import STEPS

VERSION = 1
QUICK, SMALL = 1, 6
"""Levels of zlib: for what is written each minute, and for what is kept."""

_MAX_BYTES = 64 * 1024 * 1024  # of a block, unpacked
_MAX_ROWS = 1_000_000
_HEAD = struct.Struct("<BI")
_LENGTH = struct.Struct("<I")
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_SIZE_OF_WIDTH = (0, 1, 2, 4, 4, 8, 8, 8, 8)
_MASK, _HALF = 2**64 - 1, 2**63
_LATENCY, _BATCHES, _STEPPED = (COLUMNS.index(name) for name in ("latency_seconds", "batches", "stepped"))
_STEPS = range(COLUMNS.index(STEPS[0]), COLUMNS.index(STEPS[0]) + len(STEPS))


class DamagedSeries(Exception):
    """Bytes that are no block of this version: damaged ones, or those of a newer Tidegate."""


def encode(table: PointTable, level: int = QUICK) -> bytes:
    """The block of a table."""
    first = min(table.begins, default=0)
    head = json.dumps([len(table), first, table.keys, table.cold_keys]).encode()
    parts = [_LENGTH.pack(len(head)), head, _packed([begin - first for begin in table.begins])]
    parts += [_packed(column) for column in _differences(table)]
    parts += [_packed(values) for values in table.lists]
    packed = zlib.compress(b"".join(parts), level)
    return _HEAD.pack(VERSION, zlib.crc32(packed)) + packed


def decode(block: bytes) -> PointTable:
    """The table of a block. Raises DamagedSeries."""
    try:
        version, checksum = _HEAD.unpack_from(block)
        if version != VERSION:
            raise DamagedSeries(f"its version is {version}, and this Tidegate knows {VERSION}")
        packed = memoryview(block)[_HEAD.size :]
        if zlib.crc32(packed) != checksum:
            raise DamagedSeries("its checksum is wrong")
        unpacker = zlib.decompressobj()
        return _table(unpacker.decompress(packed, _MAX_BYTES))
    except (ValueError, TypeError, LookupError, OverflowError, struct.error, zlib.error, RecursionError) as error:
        raise DamagedSeries(f"it makes no sense ({error})") from error


def chained(*blocks: bytes) -> bytes:
    """A chain of blocks."""
    return b"".join(_LENGTH.pack(len(block)) + block for block in blocks)


def tables(chain: bytes) -> Iterator[PointTable]:
    """The tables of a chain. Raises DamagedSeries, at the first block that is damaged."""
    at = 0
    while at < len(chain):
        if at + _LENGTH.size > len(chain):
            raise DamagedSeries("it is cut off")
        (length,) = _LENGTH.unpack_from(chain, at)
        at += _LENGTH.size
        if at + length > len(chain):
            raise DamagedSeries("it is cut off")
        yield decode(chain[at : at + length])
        at += length


# ---


def _differences(table: PointTable) -> "list[array[int] | list[int] | None]":
    """The columns as they are stored: two of them are mostly the sum of others, and are stored as what they differ by.

    Those are the sum of latencies, which is that of the steps, and the number of batches, which is that of requests
    unless some were predicted together.
    """
    rows = len(table)
    for place in range(len(COLUMNS)):
        table.column(place)  # to its whole length
    stored: list[array[int] | list[int] | None] = list(table.columns)
    for place, expected in _expected(table.columns, rows):
        pairs = zip(table.column(place), expected, strict=True)
        stored[place] = [_folded(value - usual) for value, usual in pairs]
    return stored


def _restore(columns: "list[array[int] | None]", rows: int) -> None:
    for place, expected in _expected(columns, rows):
        column = columns[place] or bytes(rows)
        found = array("Q", [(usual + _unfolded(value)) & _MASK for value, usual in zip(column, expected, strict=True)])
        columns[place] = found if any(found) else None


def _expected(columns: "list[array[int] | None]", rows: int) -> Iterator[tuple[int, list[int]]]:
    steps = [column for place in _STEPS if (column := columns[place]) is not None]
    yield _LATENCY, [sum(values) for values in zip(*steps, strict=True)] if steps else [0] * rows
    yield _BATCHES, [count * MICRO for count in columns[_STEPPED] or bytes(rows)]


def _folded(difference: int) -> int:
    """A difference of two columns as a number that is small where it is near to zero, on either side."""
    signed = (difference + _HALF & _MASK) - _HALF
    return 2 * signed if signed >= 0 else -2 * signed - 1


def _unfolded(value: int) -> int:
    return value // 2 if value % 2 == 0 else -(value + 1) // 2


def _packed(values: "array[int] | list[int] | None") -> bytes:
    if values is None:
        return b"\0"
    width = (max(values, default=0).bit_length() + 7) // 8
    if not width:
        return b"\0"
    size = _SIZE_OF_WIDTH[width]
    plain = values if isinstance(values, array) and values.itemsize == size else array(_CODES[size], values)
    raw = _little(plain).tobytes()
    return bytes([width]) + b"".join([raw[plane::size] for plane in range(width)])


def _little(values: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values


class _Reader:
    """Reads numbers from bytes, one column after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, length: int) -> bytes:
        """The next bytes. Raises ValueError where there are less."""
        taken = self._data[self._at : self._at + length]
        if len(taken) != length:
            raise ValueError("it is cut off")
        self._at += length
        return taken

    def numbers(self, count: int) -> "array[int] | None":
        """The next column of so many numbers; None where all are zero, or where there are none."""
        width = self.take(1)[0]
        if not width:
            return None
        size, planes = _SIZE_OF_WIDTH[width], self.take(width * count)
        if width == 1:
            return array("B", planes)
        raw = bytearray(size * count)
        for plane in range(width):
            raw[plane::size] = planes[plane * count : (plane + 1) * count]
        found = array(_CODES[size])
        found.frombytes(raw)
        return _little(found)


def _table(data: bytes) -> PointTable:
    reader = _Reader(data)
    (length,) = _LENGTH.unpack(reader.take(_LENGTH.size))
    rows, first, keys, cold_keys = json.loads(reader.take(length))
    if not (0 <= rows <= _MAX_ROWS and _are_texts(keys) and _are_texts(cold_keys)):
        raise ValueError("its head is wrong")
    offsets = reader.numbers(rows)
    begins = array("Q", [first + offset for offset in offsets] if offsets else [first] * rows)
    columns = [reader.numbers(rows) for _ in COLUMNS]
    _restore(columns, rows)
    lists = [reader.numbers(length) or (array("B", bytes(length)) or None) for length in _lengths(columns)]
    table = PointTable(keys, cold_keys, begins, columns, lists)
    _check(table)
    return table


def _lengths(columns: "list[array[int] | None]") -> tuple[int, ...]:
    """How many values the lists have."""
    statuses, cold, buckets = (columns[place] or () for place in (-3, -2, -1))
    some, starts, counts = sum(statuses), sum(cold), sum(buckets)
    return some, some, starts, starts, starts, counts - sum(map(bool, buckets)), counts


def _check(table: PointTable) -> None:
    """Raises ValueError where a place in the table leads nowhere. A checksum does not say who has made it."""
    key, first = (table.columns[COLUMNS.index(name)] or () for name in ("key", "first_bucket"))
    cold, gaps = (table.lists[LISTS.index(name)] or () for name in ("cold_key", "bucket_gap"))
    if len(table) and max(key, default=0) >= len(table.keys):
        raise ValueError("a row has no key")
    if max(cold, default=-1) >= len(table.cold_keys):
        raise ValueError("a cold start has no phase")
    if max(max(first, default=0), max(gaps, default=0)) >= BUCKETS:
        raise ValueError("there is no such bucket")


def _are_texts(values: Iterable[object]) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
