"""The tables of the series, and the databases that have them."""

import contextlib
import sqlite3
from pathlib import Path

from sqlalchemy import Column, Engine, Index, Integer, LargeBinary, MetaData, String, Table, create_engine
from sqlalchemy.event import listen
from sqlalchemy.pool import ConnectionPoolEntry

from tidegate.adapters.store.opening import open_database

METADATA = MetaData()

TAIL = Table(
    "series_tail",
    METADATA,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("minute", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

# The quarters come first: to read them, SQLite need not walk over the minutes.
HOURS = Table(
    "series_hours",
    METADATA,
    Column("endpoint", String, primary_key=True),
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("quarters", LargeBinary, nullable=False),
    Column("minutes", LargeBinary),
    Index("series_hours_by_age", "hour"),
)

TOTALS = Table(
    "series_totals",
    METADATA,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)


def sqlite_engine(path: Path) -> Engine:
    """The engine of a SQLite file that has the tables. Raises DBAPIError.

    A crash of the machine may take the last minutes from it, but not damage it (WAL with `synchronous=NORMAL`).
    """
    engine = create_engine(f"sqlite:///{path}")
    listen(engine, "connect", _configure)
    try:
        METADATA.create_all(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def postgresql_engine(uri: str) -> Engine:
    """The engine of the store's PostgreSQL database; its migrations make the tables. Raises ConfigurationError."""
    return open_database(uri)


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that another can be begun. Raises OSError."""
    aside = path.with_suffix(".damaged")
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()
    return aside


def _configure(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")
