"""The series as they are read: by the second from memory, by the minute and the quarter of an hour from the store."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from tidegate.control.reconcile.autoscaler import Autoscaler
from tidegate.control.reconcile.world import World
from tidegate.control.series.blocks import QUARTER, readable, rows_of
from tidegate.control.series.endpoint_track import KEPT_MINUTES, MINUTE, SPARKS, EndpointTrack
from tidegate.control.series.recorder import Recorder
from tidegate.control.series.series import Series, whole_until
from tidegate.control.series.shelf import KEPT_HOURS
from tidegate.control.series.stored_totals import shard_of
from tidegate.core.errors import Unavailable
from tidegate.core.series.point_table import PointTable
from tidegate.core.series.series_point import WHOLE, SeriesPoint, all_beside
from tidegate.core.series.served_label import served_label
from tidegate.ports import Clock

_HOUR = 3600.0
_NOW = 10.0

_Slots = dict[tuple[float, float], list[SeriesPoint]]


class KeptSeries:
    """What the recorder has kept."""

    def __init__(self, recorder: Recorder, world: World, autoscaler: Autoscaler, clock: Clock) -> None:
        self._recorder, self._world, self._autoscaler, self._clock = recorder, world, autoscaler, clock

    async def points(
        self, endpoint: str, since: float, until: float, step: float, entity: str | None = None
    ) -> Sequence[SeriesPoint]:
        """See `Series`. Points wider than `step` stay as wide as they are: what came while control was away, which has
        `gap`, and the minutes from before the seconds that are in memory.
        """
        since, until = self._within(endpoint, since, until)
        if until <= since or step <= 0:
            return ()
        if step < MINUTE:
            return await self._seconds(endpoint, since, until, step, entity)
        return await self._minutes(endpoint, since // step * step, until, step, entity)

    async def entities(self, endpoint: str, since: float, until: float) -> Sequence[str]:
        """See `Series`."""
        since, until = self._within(endpoint, since, until)
        step = QUARTER if until - since > 24 * _HOUR else float(MINUTE)
        first: dict[str, float] = {}
        read = await self._stored(endpoint, since, until, step)
        for table in await self._recorder.in_thread(read):
            for place, begin in zip(table.column_of("key"), table.begins, strict=True):
                key = table.keys[place]
                if since <= begin / 1e6 < until:
                    first[key] = min(begin / 1e6, first.get(key, until))
        return [entity for entity in sorted(first, key=lambda entity: (first[entity], entity)) if entity != WHOLE]

    def now(self, endpoint: str) -> SeriesPoint:
        """See `Series`."""
        until = whole_until(self._clock.now())
        track = self._recorder.tracks.get(endpoint)
        empty = SeriesPoint(until - _NOW, _NOW)
        if track is None:
            return empty
        with self._recorder.lock:
            points = track.points(until - _NOW, until, 1.0, None, self._recorder.began_at)
        return together([point for point in points if point.seconds <= _NOW], empty)

    def fleet(self) -> Mapping[str, SeriesPoint]:
        """See `Series`. It is brought up to date every 10 s."""
        return self._recorder.fleet

    def sparkline(self, endpoint: str) -> Sequence[float]:
        """See `Series`."""
        last = int((self._clock.now() - 12.0) // MINUTE) - 1
        track = self._recorder.tracks.get(endpoint)
        counts: Mapping[int, int] = track.requests if track is not None else {}
        return [counts.get(minute, 0) / MINUTE for minute in range(last - SPARKS + 1, last + 1)]

    def why(self, endpoint: str) -> Mapping[str, str]:
        """See `Series`."""
        revisions, reasons = self._world.snapshot.revisions, self._autoscaler.reasons
        return {
            served_label(revision.entity.name, revision.entity.resolved.version): reasons[rid]
            for rid, revision in revisions.items()
            if revision.endpoint_name == endpoint and rid in reasons
        }

    # ---

    async def _seconds(
        self, endpoint: str, since: float, until: float, step: float, entity: str | None
    ) -> Sequence[SeriesPoint]:
        """By the second from memory, and before that by the minute."""
        began = self._recorder.began_at
        first = max(since, (int(self._clock.now() // MINUTE) - KEPT_MINUTES) * float(MINUTE))
        track = self._recorder.tracks.get(endpoint) or EndpointTrack()

        def work() -> list[SeriesPoint]:
            with self._recorder.lock:
                return track.points(first // step * step, until, step, entity, began)

        found = await self._recorder.in_thread(work)
        edge = max(first, began)
        until = min(until, edge // MINUTE * MINUTE)
        if since >= until:
            return found
        earlier = await self._minutes(endpoint, since // MINUTE * MINUTE, until, float(MINUTE), entity, whole=False)
        earlier = [point for point in earlier if not point.gap or point.at + point.seconds <= edge]  # it is among those
        return [*earlier, *found]

    async def _minutes(
        self, endpoint: str, since: float, until: float, step: float, entity: str | None, *, whole: bool = True
    ) -> Sequence[SeriesPoint]:
        """By the minute or the quarter from the store, and from memory what is not there yet."""
        keys, presence, slots = None if entity is None else {entity}, self._recorder.presence, _Slots()
        present = self._clock.now()

        def known(at: float) -> float:
            return presence.known(at, min(step, max(0.0, present - at)))

        read = await self._stored(endpoint, since, until, step)

        def work() -> list[SeriesPoint]:
            for table in read():
                _put(slots, table.condensed(step, keys, known, (since, until)))
            sums = {slot: all_beside(points, *slot) for slot, points in slots.items()}
            at = since
            while whole and at < until:
                if (at, step) not in sums and known(at):
                    sums[at, step] = SeriesPoint(at, step)
                at += step
            return [point for _, point in sorted(sums.items())]

        return await self._recorder.in_thread(work)

    async def _stored(self, endpoint: str, since: float, until: float, step: float) -> Callable[[], list[PointTable]]:
        """What makes the tables of all that is known by the minute, or by the quarter, with served entities as keys."""
        recorder, shelf, shard = self._recorder, self._recorder.shelf, shard_of(endpoint)
        first, last = int(since // _HOUR), int(until // _HOUR)
        async with shelf.lock:
            chains = [pending.shards[shard] for pending in shelf.pending if shard in pending.shards]
            track = recorder.tracks.get(endpoint)
            with recorder.lock:
                own = [_by_minute(track, minute) for minute in track.open_minutes()] if track is not None else []
            try:
                kept = await (shelf.store.quarters if step >= QUARTER else shelf.store.minutes)(
                    endpoint, first, last + 1
                )
                chains = [*await shelf.store.tail(shard, int(since // MINUTE), (last + 1) * 60 + 59), *chains]
            except Unavailable:
                kept = ()
        return lambda: [
            *(table for chain in kept for table in readable(chain)),
            *(rows_of(table, endpoint) for chain in chains for table in readable(chain)),
            *own,
        ]

    def _within(self, endpoint: str, since: float, until: float) -> tuple[float, float]:
        """The part of a time of which anything can be known."""
        now = self._clock.now()
        return max(since, self._created_at(endpoint), now - KEPT_HOURS * _HOUR), min(until, now)

    def _created_at(self, endpoint: str) -> float:
        known = (one for one in self._world.snapshot.endpoints if one.name == endpoint and one.deleted_at is None)
        return next((one.created_at for one in known), 0.0)


_: type[Series] = KeptSeries


def together(points: Sequence[SeriesPoint], empty: SeriesPoint) -> SeriesPoint:
    """Points of a time as one point, with the averages of their gauges."""
    if not points:
        return empty
    total = sum(point.seconds for point in points)
    whole = all_beside(points, empty.at, empty.seconds)
    averages = {
        name: sum(getattr(point, name) * point.seconds for point in points) / total
        for name in ("ready", "wanted", "memory_bytes", "gpu", "gpu_memory_bytes")
    }
    return replace(whole, at=empty.at, seconds=empty.seconds, **averages)


def _put(slots: _Slots, points: Iterable[SeriesPoint]) -> None:
    for point in points:
        slots.setdefault((point.at, point.seconds), []).append(point)


def _by_minute(track: EndpointTrack, minute: int) -> PointTable:
    """The minute under way, with its gauges so far."""
    found = PointTable()
    for entity, point in track.so_far(minute):
        found.add(entity, point)
    return found
