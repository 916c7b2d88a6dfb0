"""The store of the series, by SQLAlchemy.

One thread does all the work, and each method is one transaction. The database is opened at the first call, so that one
that cannot be used keeps nothing from starting. A damaged SQLite file is set aside, and another begun.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Column, Connection, Engine, delete, func, insert, select, update
from sqlalchemy.exc import DatabaseError

from tidegate.adapters.series.series_tables import HOURS, TAIL, TOTALS, postgresql_engine, set_aside, sqlite_engine
from tidegate.adapters.store.database_errors import database_errors
from tidegate.core.errors import TidegateError, Unavailable
from tidegate.ports import PackedHour, SeriesStore
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How many rows one step of `trim` changes: it takes a few milliseconds.
_TRIM_ROWS = 10
_DAMAGED = ("malformed", "not a database", "file is encrypted", "unsupported file format")


class SqlSeries:
    """A SeriesStore in a SQLite file, or in the database at a PostgreSQL URI."""

    def __init__(self, open_engine: Callable[[], Engine], path: Path | None = None) -> None:
        self._open, self._path = open_engine, path
        self._engine: Engine | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="series-store")

    @classmethod
    def in_file(cls, path: Path) -> "SqlSeries":
        """The store in a SQLite file."""
        return cls(lambda: sqlite_engine(path), path)

    @classmethod
    def in_database(cls, uri: str) -> "SqlSeries":
        """The store in a PostgreSQL database, which is that of the endpoints too."""
        return cls(lambda: postgresql_engine(uri))

    async def append(self, minute: int, shards: Mapping[int, bytes], totals: Mapping[int, bytes]) -> None:
        known = select(TAIL.c.shard, TAIL.c.data).where(TAIL.c.minute == minute)

        def work(connection: Connection) -> None:
            earlier = {row[0]: row[1] for row in connection.execute(known)}
            if again := shards.keys() & earlier.keys():
                connection.execute(delete(TAIL).where(TAIL.c.minute == minute, TAIL.c.shard.in_(again)))
            if shards:
                rows = [(shard, earlier.get(shard, b"") + chain) for shard, chain in shards.items()]
                connection.execute(insert(TAIL), [{"shard": n, "minute": minute, "data": data} for n, data in rows])
            if totals:
                connection.execute(delete(TOTALS).where(TOTALS.c.shard.in_(totals)))
                connection.execute(insert(TOTALS), [{"shard": n, "data": data} for n, data in totals.items()])

        await self._run(work)

    async def tail(self, shard: int, first: int, last: int) -> Sequence[bytes]:
        query = select(TAIL.c.data).where(TAIL.c.shard == shard, TAIL.c.minute.between(first, last))
        return await self._run(lambda connection: connection.scalars(query.order_by(TAIL.c.minute)).all())

    async def oldest(self) -> Mapping[int, int]:
        query = select(TAIL.c.shard, func.min(TAIL.c.minute)).group_by(TAIL.c.shard)
        return await self._run(lambda connection: {row[0]: row[1] for row in connection.execute(query)})

    async def totals(self) -> Mapping[int, bytes]:
        query = select(TOTALS.c.shard, TOTALS.c.data)
        return await self._run(lambda connection: {row[0]: row[1] for row in connection.execute(query)})

    async def fold(self, shard: int, hour: int, hours: Sequence[PackedHour]) -> None:
        own = (TAIL.c.shard == shard, TAIL.c.minute.between(hour * 60, hour * 60 + 59))

        def work(connection: Connection) -> None:
            for packed in hours:
                _append_hour(connection, packed, hour)
            connection.execute(delete(TAIL).where(*own))

        await self._run(work)

    async def minutes(self, endpoint: str, first: int, last: int) -> Sequence[bytes]:
        return await self._chains(HOURS.c.minutes, endpoint, first, last)

    async def quarters(self, endpoint: str, first: int, last: int) -> Sequence[bytes]:
        return await self._chains(HOURS.c.quarters, endpoint, first, last)

    async def _chains(self, column: "Column[bytes]", endpoint: str, first: int, last: int) -> Sequence[bytes]:
        query = select(column).where(HOURS.c.endpoint == endpoint, HOURS.c.hour.between(first, last))
        found = query.where(column.is_not(None)).order_by(HOURS.c.hour)
        return await self._run(lambda connection: connection.scalars(found).all())

    async def size(self) -> int:
        return await self._run(_size)

    async def trim(self, max_bytes: int, oldest_hour: int) -> bool:
        forgotten = select(HOURS.c.endpoint, HOURS.c.hour).where(HOURS.c.hour < oldest_hour)
        oldest = select(HOURS.c.endpoint, HOURS.c.hour).where(HOURS.c.minutes.is_not(None)).order_by(HOURS.c.hour)

        def work(connection: Connection) -> bool:
            late = connection.execute(delete(TAIL).where(TAIL.c.minute < oldest_hour * 60)).rowcount
            rows = connection.execute(forgotten.order_by(HOURS.c.hour).limit(_TRIM_ROWS)).all()
            for endpoint, hour in rows:
                connection.execute(delete(HOURS).where(HOURS.c.endpoint == endpoint, HOURS.c.hour == hour))
            if rows or late or _size(connection) <= max_bytes:
                return bool(rows or late)
            rows = connection.execute(oldest.limit(_TRIM_ROWS)).all()
            for endpoint, hour in rows:
                own = (HOURS.c.endpoint == endpoint, HOURS.c.hour == hour)
                connection.execute(update(HOURS).where(*own).values(minutes=None))
            return bool(rows)

        return await self._run(work)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._dispose)
        self._thread.shutdown()

    # ---

    async def _run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on the store's thread in one transaction. Raises Unavailable."""

        def transact() -> T:
            try:
                with database_errors():
                    if self._engine is None:
                        self._engine = self._open()
                    with self._engine.begin() as connection:
                        return work(connection)
            except Unavailable as error:
                self._replace_damaged(error.__cause__)
                raise
            except TidegateError as error:
                raise Unavailable(error.message) from error

        try:
            future = self._thread.submit(transact)
        except RuntimeError as error:  # what an executor raises after its shutdown
            raise Unavailable("The series are closed: the platform is stopping.") from error
        return await asyncio.wrap_future(future)

    def _replace_damaged(self, error: BaseException | None) -> None:
        if self._path is None or not isinstance(error, DatabaseError):
            return
        if any(word in str(error.orig) for word in _DAMAGED):
            self._dispose()
            try:
                aside = set_aside(self._path)
            except OSError as why:
                logger.warning("the series' database is damaged and stays", extra=fields(path=self._path, error=why))
                return
            logger.warning("the series' database is damaged; begun anew", extra=fields(set_aside=aside))

    def _dispose(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


_: type[SeriesStore] = SqlSeries


def _append_hour(connection: Connection, packed: PackedHour, hour: int) -> None:
    """Add an endpoint's hour, or append to the chains that it has already."""
    mine = (HOURS.c.endpoint == packed.endpoint, HOURS.c.hour == hour)
    known = connection.execute(select(HOURS.c.quarters, HOURS.c.minutes).where(*mine)).first()
    if known is None:
        key = {"endpoint": packed.endpoint, "hour": hour}
        connection.execute(insert(HOURS).values(**key, quarters=packed.quarters, minutes=packed.minutes))
        return
    joined = {"quarters": known[0] + packed.quarters, "minutes": (known[1] or b"") + packed.minutes}
    connection.execute(update(HOURS).where(*mine).values(**joined))


def _size(connection: Connection) -> int:
    """The bytes in use."""
    if connection.dialect.name == "sqlite":
        pages, free, size = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size
    # What was updated or deleted stays in PostgreSQL's files for a while.
    hours = select(func.sum(func.length(HOURS.c.quarters) + func.coalesce(func.length(HOURS.c.minutes), 0)))
    tail = select(func.sum(func.length(TAIL.c.data)))
    return int(connection.scalar(hours) or 0) + int(connection.scalar(tail) or 0)
