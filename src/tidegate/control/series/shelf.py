"""The store's side of the recorder: minutes that wait to be stored, hours that are packed, and what is forgotten."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.control.series.blocks import packed_hours, readable
from tidegate.control.series.stored_totals import SHARDS
from tidegate.core.errors import Unavailable
from tidegate.core.series.point_table import PointTable
from tidegate.ports import Clock, SeriesStore
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

PLATFORM = ""
"""The name under which the minutes are recorded in which control was there."""

KEPT_HOURS = 14 * 24
# How many minutes wait for a store that cannot be used. What is older is lost by the minute.
_MAX_PENDING = 60
_TRIM_EVERY = 600.0

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Does work in the thread of the series."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A minute that is not in the store yet, by shard, and the totals at its end."""

    minute: int
    shards: Mapping[int, bytes]
    totals: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Left:
    """What an earlier process has left: when it was there, its newest minutes, and its totals."""

    presence: Sequence[bytes] = ()
    minutes: Sequence[bytes] = ()
    totals: Sequence[bytes] = ()

    def totals_tables(self) -> list[PointTable]:
        """The tables of the totals."""
        return [table for chain in self.totals for table in readable(chain)]


class Shelf:
    """Puts minutes into the store, and keeps it in order. `lock` is held while a minute is on its way."""

    def __init__(self, store: SeriesStore, clock: Clock, max_bytes: int, in_thread: InThread) -> None:
        self.store, self.pending, self.lock = store, list[Pending](), asyncio.Lock()
        self._clock, self._max_bytes, self._in_thread = clock, max_bytes, in_thread
        self._folded = 0  # the minute in which there was no hour left to pack
        self._trimmed_at = clock.monotonic()
        self._warned = False

    async def left(self, now: float, minutes: int) -> Left:
        """What an earlier process has left, with its minutes of the last so many. Nothing where it cannot be read."""
        hour, last = int(now // 3600), int(now // 60)
        try:
            totals = [chain for _, chain in sorted((await self.store.totals()).items())]
            quarters = await self.store.quarters(PLATFORM, hour - KEPT_HOURS, hour)
            known = await self.store.minutes(PLATFORM, hour - KEPT_HOURS, hour)
            tails = [await self.store.tail(shard, last - minutes, last) for shard in range(SHARDS)]
        except Unavailable as error:
            logger.warning("the stored series cannot be read", extra=fields(error=error.message))
            return Left()
        return Left([*quarters, *known], [chain for tail in tails for chain in tail], totals)

    def add(self, minutes: Sequence[Pending]) -> None:
        """Have these minutes wait to be stored."""
        self.pending += minutes
        del self.pending[:-_MAX_PENDING]

    async def keep(self) -> None:
        """Store what waits, pack an hour that is over, and forget what is too much. A failure is told once."""
        minute = int(self._clock.now() // 60)
        try:
            await self.flush()
            await self._fold(minute)
            await self._trim(minute // 60 - KEPT_HOURS)
        except Unavailable as error:
            if not self._warned:
                logger.warning("the series cannot be stored; they go on in memory", extra=fields(error=error.message))
            self._warned = True
        else:
            self._warned = False

    async def flush(self) -> None:
        """Store what waits. Raises Unavailable."""
        async with self.lock:
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
                packed = await self._in_thread(lambda chains=chains: packed_hours(chains))  # type: ignore[misc]
                async with self.lock:
                    await self.store.fold(shard, hour, packed)
                return
        self._folded = minute

    async def _trim(self, oldest_hour: int) -> None:
        now = self._clock.monotonic()
        if now - self._trimmed_at >= _TRIM_EVERY and not await self.store.trim(self._max_bytes, oldest_hour):
            self._trimmed_at = now
