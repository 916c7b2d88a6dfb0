"""Records the series: each gateway's report by the second, each minute into the store, each hour packed.

Nothing is counted here: a point is what a gateway's accounts have grown by from one report to the next. All work on
points is done in one thread, endpoint by endpoint, so that control's loop goes on; the loop hands it the reports, and
what the engine and the autoscaler said at that moment. Rows add up: a report that comes late, and a second gateway's,
are rows beside the others. A restarted control begins with the totals that were stored with the last minute.

The file has over 300 lines, as a second, a minute and the totals at its end are counted from the same reports.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.reconcile.world import World
from tidegate.control.series.blocks import JOINT, packed_hours, readable
from tidegate.control.series.endpoint_track import MINUTE, SPARKS, EndpointTrack
from tidegate.control.series.gauges import Gauge, Key, ReplicaGauges, Waiting, waiting
from tidegate.control.series.presence import Presence
from tidegate.control.series.stored_totals import SHARDS, StoredTotals, packed_totals, shard_of
from tidegate.core.errors import Unavailable
from tidegate.core.planes.account import PAST, grown
from tidegate.core.planes.load_report import LoadReport
from tidegate.core.series.point_table import PointTable
from tidegate.core.series.series_codec import chained, encode
from tidegate.core.series.series_point import WHOLE, SeriesPoint
from tidegate.ports import Clock, SeriesStore
from tidegate.telemetry import fields

T = TypeVar("T")

logger = logging.getLogger(__name__)

PLATFORM = ""
"""The name under which the minutes are recorded in which control was there."""

# A minute is closed this many seconds after its end: the last 10 whole seconds are read from open ones.
_GRACE = 12.0
# A report that comes later than this after the one before it tells of a gap, seconds.
_LATE = 2.5
# How many minutes wait for a store that cannot be used. Their counts come in a gap after that.
_MAX_PENDING = 60
_TRIM_EVERY = 600.0
KEPT_HOURS = 14 * 24
_NO_WAIT = Waiting()


@dataclass(frozen=True, slots=True)
class _News:
    """A report as it came, the whole one of the same gateway before it, and when."""

    report: LoadReport
    before: LoadReport | None
    at: float  # unix seconds
    elapsed: float  # since the gateway's report before it, seconds


@dataclass(frozen=True, slots=True)
class _Pending:
    """A minute that is not in the store yet."""

    minute: int
    shards: Mapping[int, bytes]
    totals: Mapping[int, bytes]


class Recorder:
    """Keeps the tracks of all endpoints, and the store up to date."""

    def __init__(self, gateways: Gateways, world: World, store: SeriesStore, clock: Clock, max_bytes: int) -> None:
        self._gateways, self._world, self._clock, self._max_bytes = gateways, world, clock, max_bytes
        self.store = store
        self.tracks: dict[str, EndpointTrack] = {}
        self.fleet: Mapping[str, SeriesPoint] = {}  # of the last 60 s
        self.presence = Presence()
        self.began_at = clock.now()
        self.lock = threading.Lock()  # of the tracks
        self.flushing = asyncio.Lock()  # while a minute is neither pending nor stored
        self.pending: list[_Pending] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="series")
        self._news: list[_News] = []
        self._heard: dict[int, float] = {}  # gateway → when its last report came, monotonic seconds
        self._seconds: dict[int, int] = {}  # gateway → the second that its last report was counted in
        self._whole: Mapping[int, LoadReport] = {}  # gateway → its whole report, as far as it is counted
        self._frozen: dict[int, LoadReport] = {}  # gateway → its last report of the minute before this one
        self._minutes: set[int] = set()  # that are not closed
        self._folded = 0  # the minute in which there was no hour left to pack
        self._totals: StoredTotals | None = None
        self._gauges = ReplicaGauges()
        self._touched: dict[int, set[int]] = {}  # minute → shards
        self._rowed: set[Key] = set()  # what has got a row since the last look
        self._trimmed_at = clock.monotonic()
        self._warned = False
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
            self._totals = await self._load()
        await self.record()
        now = self._clock.now()
        minute = int(now // MINUTE)
        due = [one for one in sorted(self._minutes) if now >= (one + 1) * MINUTE + _GRACE or one > minute + 1]
        if due:
            self.pending += await self.in_thread(lambda: self._close(due))
            del self.pending[:-_MAX_PENDING]
        try:
            await self._flush()
            await self._fold(minute)
            await self._trim(minute)
        except Unavailable as error:
            if not self._warned:
                logger.warning("the series cannot be stored; they go on in memory", extra=fields(error=error.message))
            self._warned = True
        else:
            self._warned = False
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
                self.pending += await self.in_thread(lambda: self._close(sorted(self._minutes)))
                await self._flush()
        except Unavailable as error:
            logger.warning("the last minute of the series is not stored", extra=fields(error=error.message))
        finally:
            self._thread.shutdown()

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do work on points in the thread of the series."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # --- the store

    async def _load(self) -> StoredTotals:
        """What an earlier process has left: its totals, when it was there, and the requests of the last hour."""
        hour = int(self.began_at // 3600)
        try:
            totals = [chain for _, chain in sorted((await self.store.totals()).items())]
            quarters = await self.store.quarters(PLATFORM, hour - KEPT_HOURS, hour)
            minutes = await self.store.minutes(PLATFORM, hour - KEPT_HOURS, hour)
            first, last = int(self.began_at // MINUTE) - SPARKS, int(self.began_at // MINUTE)
            tails = [await self.store.tail(shard, first - SPARKS, last) for shard in range(SHARDS)]
        except Unavailable as error:
            logger.warning("the stored series cannot be read", extra=fields(error=error.message))
            return StoredTotals(())

        def work() -> StoredTotals:
            for chain in (*quarters, *minutes):
                self.presence.take(point for table in readable(chain) for _, point in table.rows())
            for chain in (chain for tail in tails for chain in tail):
                for table in readable(chain):
                    self._remember(table, first)
            return StoredTotals(table for chain in totals for table in readable(chain))

        return await self.in_thread(work)

    async def _flush(self) -> None:
        async with self.flushing:
            while self.pending:
                await self.store.append(self.pending[0].minute, self.pending[0].shards, self.pending[0].totals)
                del self.pending[0]

    async def _fold(self, minute: int) -> None:
        """Pack hours that are over: one shard a minute, and what was left from earlier, one by one."""
        present = minute // 60
        if self._folded == minute:
            return
        for shard, oldest in sorted((await self.store.oldest()).items()):
            hour = oldest // 60
            if hour < present and (hour < present - 1 or minute % 60 >= shard):
                chains = await self.store.tail(shard, hour * 60, hour * 60 + 59)
                packed = await self.in_thread(lambda chains=chains: packed_hours(chains))  # type: ignore[misc]
                async with self.flushing:
                    await self.store.fold(shard, hour, packed)
                return
        self._folded = minute

    async def _trim(self, minute: int) -> None:
        now = self._clock.monotonic()
        oldest = minute // 60 - KEPT_HOURS
        if now - self._trimmed_at >= _TRIM_EVERY:
            self.presence.forget(oldest)
            if not await self.store.trim(self._max_bytes, oldest):
                self._trimmed_at = now

    # --- in the thread

    def _remember(self, table: PointTable, first: int) -> None:
        for key, point in table.rows():
            endpoint, _, entity = key.partition(JOINT)
            if endpoint == PLATFORM:
                self.presence.take([point])
            elif point.requests and point.at >= first * MINUTE and entity != PAST:
                requests, minute = self._track(endpoint).requests, int(point.at // MINUTE)
                requests[minute] = requests.get(minute, 0) + point.requests

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
        same = before.ledger == report.ledger
        for endpoint in report.accounts.keys() | report.accepted.keys():
            known = before.accounts.get(endpoint, {}) if same else {}
            rows = [
                (entity, grown(account, known.get(entity), at, seconds))
                for entity, account in report.accounts.get(endpoint, {}).items()
                if entity != PAST
            ]
            if (accepted := report.accepted.get(endpoint)) is not None and WHOLE not in report.accounts.get(
                endpoint, {}
            ):
                own = known.get(WHOLE)
                rows.append((WHOLE, SeriesPoint(at, seconds, accepted=accepted - (own.accepted if own else 0))))
            self._add(endpoint, [row for row in rows if _tells(row[1])], waits, minute, gap=wide)
            time.sleep(0)  # lets control's loop go on

    def _wait(self, waits: Mapping[Key, Waiting], now: float) -> None:
        """Add rows for what waits, where nothing has come or gone."""
        second = int(now - 1)
        for endpoint, entity in waits.keys() - self._rowed:
            point = SeriesPoint(float(second), 1.0)
            self._add(endpoint, [(entity, point)], waits, second // MINUTE, gap=False)
        self._rowed.clear()

    def _add(
        self,
        endpoint: str,
        rows: Iterable[tuple[str, SeriesPoint]],
        waits: Mapping[Key, Waiting],
        minute: int,
        *,
        gap: bool,
    ) -> None:
        track = self._track(endpoint)
        self._minutes.add(minute)
        self._touched.setdefault(minute, set()).add(shard_of(endpoint))
        with self.lock:
            for entity, point in rows:
                self._rowed.add((endpoint, entity))
                wait = waits.get((endpoint, entity), _NO_WAIT)
                if gap or wait is not _NO_WAIT:
                    point = replace(
                        point,
                        gap=gap,
                        in_flight=wait.in_flight,
                        queued=wait.queued,
                        oldest_wait_seconds=wait.oldest_seconds,
                    )
                track.add(entity, point, minute)

    def _count_first(self, report: LoadReport, now: float, minute: int) -> None:
        """The first report of a gateway to this process: what came while control was away is one point of its own."""
        found = self._totals.since(report) if self._totals is not None else None
        if found is None:
            return
        since, rows = found
        width = max(1.0, now - since)
        for endpoint, entity, point in rows:
            if _tells(point):
                wide = replace(point, at=now - width, seconds=width)
                self._add(endpoint, [(entity, wide)], {}, minute, gap=True)

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
                time.sleep(0)
        self.fleet = {endpoint: point for endpoint, point in fleet.items() if endpoint in self.tracks}

    def _close(self, minutes: list[int]) -> list[_Pending]:
        """End minutes: their rows by shard, and the totals that go with the last of them."""
        now, pending = self._clock.now(), []
        for minute in minutes:
            tables: dict[int, PointTable] = {}
            for endpoint, track in list(self.tracks.items()):
                with self.lock:
                    points = track.close(minute, self.began_at, now)
                for entity, point in points:
                    tables.setdefault(shard_of(endpoint), PointTable()).add(JOINT.join((endpoint, entity)), point)
                time.sleep(0)
            known = self.presence.known(minute * MINUTE, MINUTE) / MINUTE
            if known:
                point = SeriesPoint(float(minute * MINUTE), float(MINUTE), ready=known)
                tables.setdefault(shard_of(PLATFORM), PointTable()).add(JOINT.join((PLATFORM, WHOLE)), point)
            pending.append(_Pending(minute, {shard: chained(encode(table)) for shard, table in tables.items()}, {}))
        last = max(minutes)
        touched = {shard for minute in list(self._touched) if minute <= last for shard in self._touched.pop(minute)}
        reports = [
            self._frozen.pop(gateway, whole) if self._minute_of(gateway) > last else whole
            for gateway, whole in self._whole.items()
        ]
        totals = packed_totals(reports, touched, min(now, float((last + 1) * MINUTE)))
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
