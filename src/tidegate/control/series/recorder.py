"""Records the series: each gateway's report by the second, each minute into the store, each hour packed.

Nothing is counted here: a point is what a gateway's accounts have grown by from one report to the next. All work on
points is done in one thread, endpoint by endpoint, so that control's loop goes on; the loop hands it the reports, and
what the engine and the autoscaler said at that moment. Rows add up: a report that comes late, and a second gateway's,
are rows beside the others. A restarted control begins with the totals that were stored with the last minute.

The file has over 300 lines, as a second, a minute and the totals at its end are counted from the same reports.
"""

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.reconcile.world import World
from tidegate.control.series.blocks import JOINT, readable
from tidegate.control.series.endpoint_track import MINUTE, SPARKS, EndpointTrack
from tidegate.control.series.gauges import Gauge, Key, ReplicaGauges, Waiting, waiting
from tidegate.control.series.presence import Presence
from tidegate.control.series.shelf import KEPT_HOURS, PLATFORM, Left, Pending, Shelf
from tidegate.control.series.stored_totals import StoredTotals, packed_totals, shard_of
from tidegate.core.errors import Unavailable
from tidegate.core.planes.account import PAST, Account, grown
from tidegate.core.planes.account_growth import Numbers, gains
from tidegate.core.planes.load_report import LoadReport
from tidegate.core.series.point_table import COLUMN, MICRO, PointTable
from tidegate.core.series.series_codec import chained, encode
from tidegate.core.series.series_point import WHOLE, SeriesPoint
from tidegate.ports import Clock, SeriesStore
from tidegate.telemetry import fields

T = TypeVar("T")

logger = logging.getLogger(__name__)

# A minute is closed this many seconds after its end: the last 10 whole seconds are read from open ones.
_GRACE = 12.0
_CLOSED_AT_ONCE = 50  # endpoints: some 30 ms of the thread
# A report that comes later than this after the one before it tells of a gap, seconds.
_LATE = 2.5
_NOTHING = Account()
_SECONDS, _IN_FLIGHT, _QUEUED = COLUMN["seconds"], COLUMN["in_flight"], COLUMN["queued"]
_OLDEST = COLUMN["oldest_wait_seconds"]


@dataclass(frozen=True, slots=True)
class _News:
    """A report as it came, the whole one of the same gateway before it, and when."""

    report: LoadReport
    before: LoadReport | None
    at: float  # unix seconds
    elapsed: float  # since the gateway's report before it, seconds


class _Row(NamedTuple):
    """Where the growth of an endpoint's accounts belongs."""

    endpoint: str
    minute: int
    at: float  # unix seconds
    seconds: float
    gap: bool


class Recorder:
    """Keeps the tracks of all endpoints, and the store up to date."""

    def __init__(self, gateways: Gateways, world: World, store: SeriesStore, clock: Clock, max_bytes: int) -> None:
        self._gateways, self._world, self._clock = gateways, world, clock
        self.shelf = Shelf(store, clock, max_bytes, self.in_thread)
        self.tracks: dict[str, EndpointTrack] = {}
        self.fleet: Mapping[str, SeriesPoint] = {}  # of the last 60 s
        self.presence = Presence()
        self.began_at = clock.now()
        self.lock = threading.Lock()  # of the tracks
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="series")
        self._news: list[_News] = []
        self._heard: dict[int, float] = {}  # gateway → when its last report came, monotonic seconds
        self._seconds: dict[int, int] = {}  # gateway → the second that its last report was counted in
        self._whole: Mapping[int, LoadReport] = {}  # gateway → its whole report, as far as it is counted
        self._frozen: dict[int, LoadReport] = {}  # gateway → its last report of the minute before this one
        self._minutes: set[int] = set()  # that are not closed
        self._totals: StoredTotals | None = None
        self._gauges = ReplicaGauges()
        self._touched: dict[int, set[int]] = {}  # minute → shards
        self._rowed: set[Key] = set()  # what has got a row since the last look
        gateways.on_news = self.take

    # --- on control's loop

    def take(self, report: LoadReport, before: LoadReport | None) -> None:
        """A gateway has reported."""
        now = self._clock.monotonic()
        elapsed = now - self._heard.get(report.gateway, now)
        self._heard[report.gateway] = now
        self._news.append(_News(report, before, self._clock.now(), elapsed))

    async def run_once(self) -> float:
        """Record what was reported, and do what is due. Returns the pause before the next time, seconds."""
        if self._totals is None:
            left = await self.shelf.left(self.began_at, SPARKS)
            self._totals = await self.in_thread(lambda: self._remember(left))
        await self.record()
        now = self._clock.now()
        minute = int(now // MINUTE)
        due = [one for one in sorted(self._minutes) if now >= (one + 1) * MINUTE + _GRACE or one > minute + 1]
        if due:
            await self._close(due)
            self.presence.forget(minute // 60 - KEPT_HOURS)
        await self.shelf.keep()
        return 1.0

    async def record(self) -> None:
        """Have the thread count what was reported since the last time."""
        news, self._news = self._news, []
        snapshot, observations = self._world.snapshot, self._world.observations
        reports, whole = self._gateways.reports, self._gateways.accounts.latest
        now, monotonic = self._clock.now(), self._clock.monotonic()

        def work() -> None:
            labels = {rid: key for rid in snapshot.revisions if (key := self._gauges.label(rid, snapshot.revisions))}
            waits = waiting(reports, labels)
            for one in news:
                self._count(one, waits)
            self._whole = whole
            self._wait(waits, now)
            self._stand(now, self._gauges.look(observations, snapshot.revisions, snapshot.scales, monotonic))
            self._end_tens(now)

        await self.in_thread(work)

    async def stop(self) -> None:
        """Store the minute under way, as far as it has come. The store stays open."""
        try:
            if self._totals is not None:
                await self.record()
                await self._close(sorted(self._minutes))
                await self.shelf.flush()
        except Unavailable as error:
            logger.warning("the last minute of the series is not stored", extra=fields(error=error.message))
        finally:
            self._thread.shutdown()

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do work on points in the thread of the series."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # --- in the thread

    def _remember(self, left: Left) -> StoredTotals:
        """Take what an earlier process has left."""
        for chain in left.presence:
            self.presence.take(point for table in readable(chain) for _, point in table.rows())
        until = 0.0  # the end of the newest minute that is stored
        for key, point in (row for chain in left.minutes for table in readable(chain) for row in table.rows()):
            endpoint, _, entity = key.partition(JOINT)
            if endpoint == PLATFORM:
                self.presence.take([point])
                until = max(until, point.at + point.seconds * min(1.0, point.ready))
            elif point.requests and entity != PAST:
                requests, minute = self._track(endpoint).requests, int(point.at // MINUTE)
                requests[minute] = requests.get(minute, 0) + point.requests
        return StoredTotals(left.totals_tables(), until)

    def _count(self, news: _News, waits: Mapping[Key, Waiting]) -> None:
        """Add the rows of one report."""
        report, before, gateway = news.report, news.before, news.report.gateway
        second = self._second(news)
        minute = second // MINUTE
        self._minutes.add(minute)
        if before is not None and self._minute_of(gateway) < minute:
            self._frozen[gateway] = before
        self._seconds[gateway] = second
        if before is None:
            self._count_first(report, news.at, minute)
            return
        wide = news.elapsed > _LATE
        at, seconds = (news.at - news.elapsed, news.elapsed) if wide else (float(second), 1.0)
        earlier = before.accounts if before.ledger == report.ledger else {}
        for endpoint in report.accounts.keys() | report.accepted.keys():
            news_of, known = report.accounts.get(endpoint, {}), earlier.get(endpoint, {})
            row = _Row(endpoint, minute, at, seconds, wide)
            for entity, account in news_of.items():
                if entity != PAST:
                    self._add_growth(row, entity, account, known.get(entity, _NOTHING), waits)
            if WHOLE not in news_of and endpoint in report.accepted:
                own = known.get(WHOLE, _NOTHING)
                accepted = own._replace(accepted=report.accepted[endpoint])
                self._add_growth(row, WHOLE, accepted, own, waits)

    def _add_growth(self, row: _Row, entity: str, now: Account, before: Account, waits: Mapping[Key, Waiting]) -> None:
        if row.gap or now.cold != before.cold:  # they are rare
            point = replace(grown(now, before, row.at, row.seconds), gap=row.gap)
            if _tells(point):
                self._add(row.endpoint, entity, point, waits, row.minute)
            return
        numbers, statuses, latency = gains(now, before)
        if not any(number > 0 for _, number in numbers):
            return
        numbers.append((_SECONDS, int(row.seconds * MICRO)))
        key = row.endpoint, entity
        if (wait := waits.get(key)) is not None:
            numbers += _waiting_numbers(wait)
        self._noted(key, row.minute)
        with self.lock:
            table = self._track(row.endpoint).table(entity, row.minute)
            table.add_numbers(entity, int(row.at * MICRO), numbers, statuses, latency)

    def _wait(self, waits: Mapping[Key, Waiting], now: float) -> None:
        """Add rows for what waits, where nothing has come or gone."""
        second = int(now - 1)
        for endpoint, entity in waits.keys() - self._rowed:
            self._add(endpoint, entity, SeriesPoint(float(second), 1.0), waits, second // MINUTE)
        self._rowed.clear()

    def _add(self, endpoint: str, entity: str, point: SeriesPoint, waits: Mapping[Key, Waiting], minute: int) -> None:
        wait = waits.get((endpoint, entity))
        if wait is not None:
            point = replace(
                point, in_flight=wait.in_flight, queued=wait.queued, oldest_wait_seconds=wait.oldest_seconds
            )
        self._noted((endpoint, entity), minute)
        with self.lock:
            self._track(endpoint).table(entity, minute).add(entity, point)

    def _noted(self, key: Key, minute: int) -> None:
        self._rowed.add(key)
        self._minutes.add(minute)
        self._touched.setdefault(minute, set()).add(shard_of(key[0]))

    def _count_first(self, report: LoadReport, now: float, minute: int) -> None:
        """The first report of a gateway to this process: what came while control was away is one point of its own."""
        found = self._totals.since(report) if self._totals is not None else None
        if found is None:
            return
        since, rows = found
        width = max(1.0, now - since)
        for endpoint, entity, point in rows:
            if _tells(point):
                self._add(endpoint, entity, replace(point, at=now - width, seconds=width, gap=True), {}, minute)

    def _second(self, news: _News) -> int:
        """The second that a report tells of. Reports come once a second, but not at its edge: one after the other
        gets the next second, unless that is not the time any more.
        """
        following = self._seconds.get(news.report.gateway, 0) + 1
        if abs(news.at - 1.0 - following) <= 0.7 and 0.7 <= news.elapsed <= 1.3:
            return following
        return int(news.at - 0.5 if news.elapsed >= 0.5 else news.at)

    def _minute_of(self, gateway: int) -> int:
        return self._seconds.get(gateway, 0) // MINUTE

    def _stand(self, now: float, gauges: Mapping[Key, Gauge]) -> None:
        by_endpoint: dict[str, dict[str, Gauge]] = {}
        for (endpoint, entity), gauge in gauges.items():
            by_endpoint.setdefault(endpoint, {})[entity] = gauge
        with self.lock:
            for endpoint in by_endpoint.keys() | self.tracks.keys():
                self._track(endpoint).stand(now, by_endpoint.get(endpoint, {}))
        self.presence.note(int(now // MINUTE), now % MINUTE + 1)
        self._minutes.add(int(now // MINUTE))

    def _end_tens(self, now: float) -> None:
        """Bring the last 60 s up to date, of a tenth of the endpoints each second."""
        fleet = dict(self.fleet)
        for endpoint, track in list(self.tracks.items()):
            if track.ten_is_over(now, shard_of(endpoint)):
                with self.lock:
                    point = track.end_ten()
                if point is not None:
                    fleet[endpoint] = point
                else:
                    fleet.pop(endpoint, None)
        self.fleet = {endpoint: point for endpoint, point in fleet.items() if endpoint in self.tracks}

    async def _close(self, minutes: list[int]) -> None:
        """End minutes, some endpoints at a time, and have them stored with the totals at the end of the last one."""
        async with self.shelf.lock:
            tables: dict[tuple[int, int], PointTable] = {}  # by minute and shard
            names = list(self.tracks)
            for first in range(0, len(names), _CLOSED_AT_ONCE):
                some = names[first : first + _CLOSED_AT_ONCE]
                await self.in_thread(lambda some=some: self._close_some(some, minutes, tables))  # type: ignore[misc]
            self.shelf.add(await self.in_thread(lambda: self._pack(minutes, tables)))

    def _close_some(self, names: list[str], minutes: list[int], tables: dict[tuple[int, int], PointTable]) -> None:
        now = self._clock.now()
        for minute, endpoint in itertools.product(minutes, names):
            with self.lock:
                points = self.tracks[endpoint].close(minute, self.began_at, now)
            for entity, point in points:
                table = tables.setdefault((minute, shard_of(endpoint)), PointTable())
                table.add(JOINT.join((endpoint, entity)), point)

    def _pack(self, minutes: list[int], tables: dict[tuple[int, int], PointTable]) -> list[Pending]:
        """The rows of ended minutes by shard, and the totals that go with the last of them."""
        pending = []
        for minute in minutes:
            if known := self.presence.known(minute * MINUTE, MINUTE) / MINUTE:
                point = SeriesPoint(float(minute * MINUTE), float(MINUTE), ready=known)
                table = tables.setdefault((minute, shard_of(PLATFORM)), PointTable())
                table.add(JOINT.join((PLATFORM, WHOLE)), point)
            own = {shard: chained(encode(table)) for (at, shard), table in tables.items() if at == minute}
            pending.append(Pending(minute, own, {}))
        last = max(minutes)
        touched = {shard for minute in list(self._touched) if minute <= last for shard in self._touched.pop(minute)}
        reports = [
            self._frozen.pop(gateway, whole) if self._minute_of(gateway) > last else whole
            for gateway, whole in self._whole.items()
        ]
        totals = packed_totals(reports, touched, min(self._clock.now(), float((last + 1) * MINUTE)))
        pending[-1] = replace(pending[-1], totals=totals)
        self._minutes -= set(minutes)
        with self.lock:
            self.tracks = {endpoint: track for endpoint, track in self.tracks.items() if not track.is_idle}
        return pending

    def _track(self, endpoint: str) -> EndpointTrack:
        track = self.tracks.get(endpoint)
        if track is None:
            track = self.tracks[endpoint] = EndpointTrack()
        return track


def _waiting_numbers(wait: Waiting) -> Numbers:
    return [(_IN_FLIGHT, wait.in_flight), (_QUEUED, wait.queued), (_OLDEST, int(wait.oldest_seconds * MICRO))]


def _tells(point: SeriesPoint) -> bool:
    """Whether anything happened in it."""
    return bool(
        point.accepted
        or point.answered
        or point.statuses
        or point.timed_out
        or point.client_gone
        or point.lost
        or point.cold_starts
        or point.cold_requests
        or point.cold
    )
