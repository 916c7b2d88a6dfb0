"""The last 15 minutes of one endpoint by the second, in memory.

The minutes under way are tables. A minute that is over becomes a block of bytes, and, by the way, the endpoint's points
of that minute. Gauges are noted when they change, and hold until they change again.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tidegate.control.series.gauges import Gauge
from tidegate.control.series.series import COMES_IN
from tidegate.core.series.point_table import PointTable
from tidegate.core.series.series_codec import DamagedSeries, decode, encode
from tidegate.core.series.series_point import SeriesPoint, all_beside

MINUTE = 60
KEPT_MINUTES = 15
SPARKS = 60  # minutes of a sparkline
TEN, RECENT = 10.0, 60.0
# A slot that has everything.
_ANY_STEP = 1e9

_Change = tuple[float, Mapping[str, Gauge]]  # since when, unix seconds; by served entity


class EndpointTrack:
    """What is kept of an endpoint in memory. It is of one thread at a time."""

    def __init__(self) -> None:
        self._open: dict[int, dict[str, PointTable]] = {}  # minute → served entity → its seconds
        self._closed: deque[tuple[int, bytes]] = deque(maxlen=KEPT_MINUTES)
        self._changes: deque[_Change] = deque()
        self._ten_until = 0.0
        self._tens: dict[int, PointTable] = {}  # minute → its parts of 10 s
        self.requests: dict[int, int] = {}  # answers by minute, of the last hour

    def table(self, entity: str, minute: int) -> PointTable:
        """The seconds of a served entity that were reported in this minute, to be added to."""
        tables = self._open.setdefault(minute, {})
        table = tables.get(entity)
        if table is None:
            table = tables[entity] = PointTable()
        return table

    def stand(self, at: float, gauges: Mapping[str, Gauge]) -> None:
        """Note the gauges of this moment, if they are worth it."""
        last = self._changes[-1][1] if self._changes else {}
        same = last.keys() == gauges.keys() and all(gauge.is_like(last[entity]) for entity, gauge in gauges.items())
        if not same:
            self._changes.append((at, gauges))

    def open_minutes(self) -> Sequence[int]:
        """The minutes that are not closed yet."""
        return list(self._open)

    def close(self, minute: int, since: float = 0.0, until: float | None = None) -> list[tuple[str, SeriesPoint]]:
        """End a minute. Returns its points, by served entity.

        `since` and `until` are the part of it that is known, unix seconds.
        """
        points = self.so_far(minute, since, until)
        tables = self._open.pop(minute, {})
        rows = PointTable()
        for table in tables.values():
            rows.extend(table)
        if tables:
            self._closed.append((minute, encode(rows)))
        for _, point in points:
            self._count(point)
        self._forget(minute)
        return points

    def so_far(self, minute: int, since: float = 0.0, until: float | None = None) -> list[tuple[str, SeriesPoint]]:
        """The points of a minute that is not closed, by served entity, and of gaps that ended in it."""
        begin, end = float(minute * MINUTE), float((minute + 1) * MINUTE)
        since, until = max(begin, since), end if until is None else min(end, until)
        points: dict[tuple[str, float, float], SeriesPoint] = {}
        for entity, table in self._open.get(minute, {}).items():
            for point in table.condensed(MINUTE):
                points[entity, point.at, point.seconds] = point
        for entity, gauge in self._averages(since, until).items():
            key = entity, begin, float(MINUTE)
            points[key] = _with_gauge(points.get(key, SeriesPoint(begin, float(MINUTE))), gauge, until - since)
        return [(entity, point) for (entity, _, _), point in points.items()]

    def points(
        self, since: float, until: float, step: float, entity: str | None, known_since: float
    ) -> list[SeriesPoint]:
        """The seconds from `since` to `until` in slots of `step` seconds, with their gauges, oldest first."""
        keys = None if entity is None else {entity}
        found: dict[tuple[float, float], list[SeriesPoint]] = {}
        for table in self._tables(since, until):
            for point in table.condensed(step, keys, span=(since, until)):
                found.setdefault((point.at, point.seconds), []).append(point)
        sums = {slot: all_beside(points, *slot) for slot, points in found.items()}
        at = since // step * step
        while at < until:
            if at + step > known_since:
                point, own = sums.get((at, step), SeriesPoint(at, step)), self._averages(at, at + step)
                chosen = own.values() if entity is None else [own[entity]] if entity in own else []
                for gauge in chosen:
                    point = _with_gauge(point, gauge, step)
                sums[at, step] = point
            at += step
        return [point for _, point in sorted(sums.items())]

    def ten_is_over(self, now: float, offset: int) -> bool:
        """Whether it is time for `end_ten`. Each endpoint has its own second for that, by its `offset`."""
        if abs(now - self._ten_until) > RECENT:
            self._ten_until = now // TEN * TEN + offset % TEN
        return now - COMES_IN >= self._ten_until

    def end_ten(self) -> SeriesPoint | None:
        """End 10 seconds. Returns the last 60 as one point; None where nothing happened in them."""
        until = self._ten_until
        self._ten_until += TEN
        found = [
            point
            for table in self._tables(until - TEN, until)
            for point in table.condensed(_ANY_STEP, span=(until - TEN, until))
        ]
        minute = int((until - TEN) // MINUTE)
        if found:
            own = self._tens.setdefault(minute, PointTable())
            own.add("", replace(all_beside(found, until - TEN, TEN), at=until - TEN, seconds=TEN))
        self._tens = {known: table for known, table in self._tens.items() if known in (minute, minute - 1)}
        recent = [
            point for table in self._tens.values() for point in table.condensed(_ANY_STEP, span=(until - RECENT, until))
        ]
        gauges = self._averages(until - RECENT, until)
        if not (recent or gauges):
            return None
        whole = replace(all_beside(recent, until - RECENT, RECENT), at=until - RECENT, seconds=RECENT)
        for gauge in gauges.values():
            whole = _with_gauge(whole, gauge, RECENT)
        return whole

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self._open or self._closed or self.requests or any(gauges for _, gauges in self._changes))

    @property
    def size(self) -> int:
        """The bytes that closed minutes take."""
        return sum(len(block) for _, block in self._closed)

    # ---

    def _tables(self, since: float, until: float) -> list[PointTable]:
        first, last = int(since // MINUTE), int(until // MINUTE)
        found = []
        for minute, block in list(self._closed):
            if first <= minute <= last:
                try:
                    found.append(decode(block))
                except DamagedSeries:  # only by a defect: it never left this memory
                    continue
        found += [table for minute, own in self._open.items() if first <= minute <= last for table in own.values()]
        return found

    def _averages(self, since: float, until: float) -> Mapping[str, Gauge]:
        """The averages of all gauges over a time, by served entity."""
        if not self._changes or until <= since:
            return {}
        first = max(0, bisect_right(self._changes, since, key=lambda change: change[0]) - 1)
        last = bisect_right(self._changes, until, key=lambda change: change[0])
        changes = [self._changes[place] for place in range(first, last)]
        sums: dict[str, list[float]] = {}
        for place, (at, gauges) in enumerate(changes):
            ends = changes[place + 1][0] if place + 1 < len(changes) else until
            share = (min(ends, until) - max(at, since)) / (until - since)
            if share > 0:
                for entity, gauge in gauges.items():
                    own = sums.setdefault(entity, [0.0] * 4)
                    for number, value in enumerate((gauge.ready, gauge.wanted, gauge.memory_bytes, gauge.cpu)):
                        own[number] += share * value
        return {entity: Gauge(*values) for entity, values in sums.items()}

    def _count(self, point: SeriesPoint) -> None:
        if point.requests:
            minute = int(point.at // MINUTE)
            self.requests[minute] = self.requests.get(minute, 0) + point.requests

    def _forget(self, minute: int) -> None:
        while self._closed and not minute - KEPT_MINUTES < self._closed[0][0] <= minute:
            self._closed.popleft()
        oldest = float((minute - KEPT_MINUTES) * MINUTE)
        while len(self._changes) > 1 and self._changes[1][0] <= oldest:
            self._changes.popleft()
        if any(known <= minute - SPARKS or known > minute + 1 for known in self.requests):
            self.requests = {
                known: count for known, count in self.requests.items() if minute - SPARKS < known <= minute + 1
            }


def _with_gauge(point: SeriesPoint, gauge: Gauge, seconds: float) -> SeriesPoint:
    return replace(
        point,
        ready=point.ready + gauge.ready,
        wanted=point.wanted + gauge.wanted,
        memory_bytes=point.memory_bytes + gauge.memory_bytes,
        cpu_seconds=point.cpu_seconds + gauge.cpu * seconds,
    )
