"""Many points as columns, as they are held, stored and added up.

A column is an array of integers with a number for each row; a column that has ended, or is missing, goes on with zeros.
Sums of time are in microseconds, and averages and shares in millionths: a count is exact, and a sum to the microsecond.
A row has a key, which says what it is of: a served entity, or an endpoint and a served entity.

The file has over 300 lines, as to write a row and to read one need the same knowledge of the columns.
"""

from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import inf
from operator import attrgetter, mul

from tidegate.core.series.series_point import STEPS, SeriesPoint

MICRO = 1_000_000
LARGEST = 2**64 - 1
"""The largest number of a column. A larger one counts as this."""

_COUNTS = (
    "accepted", "answered", "rejected", "timed_out", "client_gone", "lost", "stepped", "request_bytes",
    "response_bytes", "cold_starts", "cold_requests",
)  # fmt: skip
_SUMS = ("latency_seconds", "batches", "cpu_seconds")
_AVERAGES = ("ready", "wanted", "gpu")
_BYTES = ("memory_bytes", "gpu_memory_bytes")
_MOST = ("in_flight", "queued")

_get_counts: Callable[[SeriesPoint], tuple[int, ...]] = attrgetter(*_COUNTS, *_MOST)
_get_times: Callable[[SeriesPoint], tuple[float, ...]] = attrgetter(*_SUMS)
_get_gauges: Callable[[SeriesPoint], tuple[float, ...]] = attrgetter(*_AVERAGES, "oldest_wait_seconds")
_get_bytes: Callable[[SeriesPoint], tuple[float, ...]] = attrgetter(*_BYTES)

COLUMNS = (
    *_COUNTS, *_MOST, *_SUMS, *STEPS, *_AVERAGES, "oldest_wait_seconds", *_BYTES, "seconds", "key", "gap",
    "first_bucket", "of_statuses", "of_cold", "of_buckets",
)  # fmt: skip
"""The columns, in their stored order. The last three have the lengths of a row's part of the lists."""
LISTS = ("status", "status_count", "cold_key", "cold_count", "cold_micros", "bucket_gap", "bucket_count")
"""The lists: the parts of all rows, one after the other. `bucket_gap` is the distance from the bucket
before, of all but a row's first bucket."""

COLUMN = {name: place for place, name in enumerate(COLUMNS)}
"""The place of each column."""
_SMALL = 2**32  # what a column holds that was not read from a block
_KEY, _GAP, _SECONDS, _FIRST_BUCKET = (COLUMN[name] for name in ("key", "gap", "seconds", "first_bucket"))
_OF_STATUSES, _OF_COLD, _OF_BUCKETS = COLUMN["of_statuses"], COLUMN["of_cold"], COLUMN["of_buckets"]
_STEP_PLACES = range(COLUMN[STEPS[0]], COLUMN[STEPS[0]] + len(STEPS))

_ADDED = tuple((name, COLUMN[name], 1) for name in _COUNTS) + tuple((name, COLUMN[name], MICRO) for name in _SUMS)
_AVERAGED = tuple((name, COLUMN[name], MICRO) for name in _AVERAGES) + tuple((name, COLUMN[name], 1) for name in _BYTES)
_LARGEST_OF = (
    *((name, COLUMN[name], 1) for name in _MOST),
    ("oldest_wait_seconds", COLUMN["oldest_wait_seconds"], MICRO),
)

_Places = tuple[int, int, int, int, int]  # a row, and where its parts of the lists begin


@dataclass(slots=True)
class PointTable:
    """Rows of points. `begins` has their begins, microseconds since the epoch."""

    keys: list[str] = field(default_factory=list)
    cold_keys: list[str] = field(default_factory=list)
    begins: "array[int]" = field(default_factory=lambda: array("Q"))
    columns: "list[array[int] | None]" = field(default_factory=lambda: [None] * len(COLUMNS))
    lists: "list[array[int] | None]" = field(default_factory=lambda: [None] * len(LISTS))

    def __len__(self) -> int:
        return len(self.begins)

    def add(self, key: str, point: SeriesPoint) -> None:
        """Add a row."""
        micros = [_micros(value) for value in (*_get_times(point), *point.steps, *_get_gauges(point))]
        sizes = [int(value + 0.5) for value in _get_bytes(point)]
        numbers = (*_get_counts(point), *micros, *sizes, _micros(point.seconds), 0, point.gap)
        self.add_numbers(key, _micros(point.at), enumerate(numbers), point.statuses, point.latency)
        if point.cold:
            self.add_cold(point.cold)

    def add_numbers(
        self,
        key: str,
        begin: int,
        numbers: Iterable[tuple[int, int]],
        statuses: Mapping[int, int],
        latency: Mapping[int, int],
    ) -> None:
        """Add a row of numbers, each with the place of its column; zeros may be left out. `begin` is in microseconds.

        Cold starts are added to the row after it, by `add_cold`.
        """
        row, columns = len(self.begins), self.columns
        for place, value in numbers:
            if value > 0:
                column = columns[place]
                if column is not None and len(column) == row and value < _SMALL and column.itemsize > 2:
                    column.append(value)
                else:
                    _put(columns, place, row, value)
        if place := _place(self.keys, key):
            _put(columns, _KEY, row, place)
        if statuses:
            _put(columns, _OF_STATUSES, row, len(statuses))
            self._extend(0, [*statuses])
            self._extend(1, [*statuses.values()])
        if latency:
            buckets = sorted(latency)
            _put(columns, _OF_BUCKETS, row, len(buckets))
            if buckets[0]:
                _put(columns, _FIRST_BUCKET, row, buckets[0])
            self._extend(5, [after - before for before, after in pairwise(buckets)])
            self._extend(6, [latency[bucket] for bucket in buckets])
        self.begins.append(begin)

    def add_cold(self, cold: Mapping[str, tuple[int, float]]) -> None:
        """Add cold starts to the newest row."""
        _put(self.columns, _OF_COLD, len(self.begins) - 1, len(cold))
        self._extend(2, [_place(self.cold_keys, name) for name in cold])
        self._extend(3, [count for count, _ in cold.values()])
        self._extend(4, [_micros(seconds) for _, seconds in cold.values()])

    def extend(self, other: "PointTable") -> None:
        """Add all rows of another table."""
        rows, own = len(self), self.columns
        keys = [_place(self.keys, key) for key in other.keys]
        cold = [_place(self.cold_keys, key) for key in other.cold_keys]
        for place in range(len(COLUMNS)):
            column: Sequence[int] = other.column(place)
            if place == _KEY:
                column = [keys[key] for key in column]
            if own[place] is None and not any(column):
                continue
            self.column(place)
            own[place] = _joined(own[place] or [0] * rows, column)
        for which, values in enumerate(other.lists):
            if values is not None:
                added: Sequence[int] = [cold[key] for key in values] if which == 2 else values
                self.lists[which] = _joined(self.lists[which] or (), added)
        self.begins.extend(other.begins)

    def rows(self, chosen: Container[str] | None = None) -> Iterator[tuple[str, SeriesPoint]]:
        """All rows, or those with one of these keys, in their order, with their keys."""
        keys, widths = self.column(_KEY), self.column(_SECONDS)
        for row, place in enumerate(self._places()):
            key, seconds = self.keys[keys[row]], widths[row] / MICRO
            if chosen is None or key in chosen:
                yield key, self._point([place], self.begins[row] / MICRO, seconds, seconds)

    def condensed(
        self,
        step: float,
        keys: Container[str] | None = None,
        known: Callable[[float], float] | None = None,
        span: tuple[float, float] = (0.0, inf),
    ) -> list[SeriesPoint]:
        """The sums of all rows, or of those with one of these keys, in slots of `step` seconds, oldest first.

        A slot begins at a multiple of `step`. A row that is wider than `step` is in no slot: rows of the same begin and
        width then make a point of their own. Averages are over the slot's known time: `known` says how many seconds
        that is, by the slot's begin; without it, it is the time that has a row. `span` is what rows must begin in, unix
        seconds, its end excluded.
        """
        width, first, end = int(step * MICRO), span[0] * MICRO, span[1] * MICRO
        chosen = None if keys is None else {place for place, key in enumerate(self.keys) if key in keys}
        own, seconds = self.column(_KEY), self.column(_SECONDS)
        slots: dict[tuple[int, int], list[int]] = {}
        for row, begin in enumerate(self.begins):
            if (chosen is None or own[row] in chosen) and first <= begin < end:
                wide = seconds[row] > width
                slot = (begin, seconds[row]) if wide else (begin // width * width, width)
                slots.setdefault(slot, []).append(row)
        places = self._places()
        made = []
        for (begin, wide_micros), rows in sorted(slots.items()):
            at = begin / MICRO
            if wide_micros != width:
                time = wide_micros / MICRO
            elif known is not None:
                time = known(at)
            else:
                time = sum({self.begins[row]: seconds[row] for row in rows}.values()) / MICRO
            made.append(self._point([places[row] for row in rows], at, wide_micros / MICRO, time))
        return made

    def column_of(self, name: str) -> Sequence[int]:
        """A column, by its name in COLUMNS."""
        return self.column(COLUMN[name])

    # ---

    def _push(self, which: int, value: int) -> None:
        column = self.lists[which]
        _put(self.lists, which, len(column) if column else 0, value)

    def _extend(self, which: int, values: Sequence[int]) -> None:
        column = self.lists[which]
        if column is None:
            column = self.lists[which] = array("H" if which == 5 else "I")
        length = len(column)
        try:
            column.extend(values)
        except OverflowError:
            del column[length:]
            for value in values:
                self._push(which, value)

    def column(self, place: int) -> Sequence[int]:
        """A column of COLUMNS, with a number for each row."""
        column, rows = self.columns[place], len(self.begins)
        if column is None:
            return bytes(rows)
        if len(column) < rows:
            column.extend(bytes(rows - len(column)))
        return column

    def _list(self, which: int) -> "Sequence[int]":
        return self.lists[which] or ()

    def _places(self) -> list[_Places]:
        """Where each row's part of the lists begins: statuses, cold starts, gaps and counts of buckets."""
        places, statuses, cold, gaps, counts = [], 0, 0, 0, 0
        lengths = zip(self.column(_OF_STATUSES), self.column(_OF_COLD), self.column(_OF_BUCKETS), strict=True)
        for row, (of_statuses, of_cold, of_buckets) in enumerate(lengths):
            places.append((row, statuses, cold, gaps, counts))
            statuses, cold, counts = statuses + of_statuses, cold + of_cold, counts + of_buckets
            gaps += of_buckets - 1 if of_buckets else 0
        return places

    def _point(self, group: Sequence[_Places], at: float, seconds: float, time: float) -> SeriesPoint:
        """The sum of rows; each comes with the places of its parts. `time` is what averages are over, seconds."""
        rows = [place[0] for place in group]
        first, end = rows[0], rows[-1] + 1
        together = end - first == len(rows)

        def of(column: Sequence[int]) -> Sequence[int]:
            return column[first:end] if together else [column[row] for row in rows]

        values: dict[str, float] = {}
        for name, place, scale in _ADDED:
            if (column := self._used(place)) is not None:
                total = sum(of(column))
                values[name] = total if scale == 1 else total / scale
        if time > 0:
            widths = self.column(_SECONDS)
            for name, place, scale in _AVERAGED:
                if (column := self._used(place)) is not None:
                    values[name] = sum(map(mul, of(column), of(widths))) / (time * MICRO * scale)
        for name, place, scale in _LARGEST_OF:
            if (column := self._used(place)) is not None:
                most = max(of(column))
                values[name] = most if scale == 1 else most / scale
        steps = (0.0,) * len(STEPS)
        if any(self.columns[place] is not None for place in _STEP_PLACES):
            steps = tuple(sum(of(self.column(place))) / MICRO for place in _STEP_PLACES)
        gap = self._used(_GAP) is not None and any(self.column(_GAP)[row] for row in rows)
        return SeriesPoint(
            at,
            seconds,
            gap,
            statuses=self._statuses(group),
            latency=self._latency(group),
            cold=self._cold(group),
            steps=steps,
            **values,  # type: ignore[arg-type]
        )

    def _used(self, place: int) -> Sequence[int] | None:
        return None if self.columns[place] is None else self.column(place)

    def _statuses(self, group: Iterable[_Places]) -> Mapping[int, int]:
        lengths, names, counts = self.column(_OF_STATUSES), self._list(0), self._list(1)
        found: dict[int, int] = {}
        for row, first, *_ in group:
            for place in range(first, first + lengths[row]):
                found[names[place]] = found.get(names[place], 0) + counts[place]
        return found

    def _cold(self, group: Iterable[_Places]) -> Mapping[str, tuple[int, float]]:
        if self.columns[_OF_COLD] is None:
            return {}
        lengths, names, counts, micros = self.column(_OF_COLD), self._list(2), self._list(3), self._list(4)
        found: dict[str, tuple[int, int]] = {}
        for row, _, first, *_ in group:
            for place in range(first, first + lengths[row]):
                name = self.cold_keys[names[place]]
                count, time = found.get(name, (0, 0))
                found[name] = count + counts[place], time + micros[place]
        return {name: (count, time / MICRO) for name, (count, time) in found.items()}

    def _latency(self, group: Iterable[_Places]) -> Mapping[int, int]:
        lengths, firsts = self.column(_OF_BUCKETS), self.column(_FIRST_BUCKET)
        gaps, counts = self._list(5), self._list(6)
        found: dict[int, int] = {}
        seen = found.get
        for row, _, _, gap, place in group:
            if length := lengths[row]:
                buckets = accumulate(gaps[gap : gap + length - 1], initial=firsts[row])
                for bucket, count in zip(buckets, counts[place : place + length], strict=True):
                    found[bucket] = seen(bucket, 0) + count
        return found


def _place(names: list[str], name: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        names.append(name)
        return len(names) - 1


def _joined(one: Sequence[int], other: Sequence[int]) -> "array[int]":
    code = "Q" if max(max(one, default=0), max(other, default=0)) >= 2**32 else "I"
    return array(code, [*one, *other])


def _micros(value: float) -> int:
    return int(value * MICRO + 0.5)


def _put(columns: "list[array[int] | None]", place: int, row: int, value: int) -> None:
    column = columns[place]
    if column is None:
        column = columns[place] = array("I")
    missing = row - len(column)
    if missing:
        column.extend(bytes(missing))
    try:
        column.append(value)
    except OverflowError:
        column = columns[place] = array("Q", column)
        column.append(min(max(value, 0), LARGEST))
