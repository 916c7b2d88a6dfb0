"""Opens the store's database: checks that it is intact, and brings it to this version's schema."""

import sqlite3

from alembic import command
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.event import listen
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from tidegate.adapters.store.migrations import alembic_config
from tidegate.core.errors import ConfigurationError


def open_database(uri: str) -> Engine:
    """The engine of the database at a SQLAlchemy URI, which has this version's schema now.

    Raises ConfigurationError when the database cannot be opened, is damaged, or belongs to a newer version.
    """
    try:
        engine = create_engine(uri)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigurationError(f"The store's URI '{uri.split('@')[-1]}' cannot be used: {error}.") from None
    where = engine.url.render_as_string(hide_password=True)
    if engine.dialect.name == "sqlite":
        listen(engine, "connect", _configure_sqlite)
        listen(engine, "begin", _begin_sqlite)
    try:
        with engine.begin() as connection:
            _check_intact(connection, where)
            _migrate(connection, where)
    except DBAPIError as error:
        engine.dispose()
        raise ConfigurationError(
            f"The database {where} cannot be opened: {error.orig}. "
            "Check its path and permissions; if it is damaged, restore a backup or move it away to start empty."
        ) from None
    except ConfigurationError:
        engine.dispose()
        raise
    return engine


def _configure_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # `_begin_sqlite` begins transactions, as Python's driver by itself runs schema changes outside of them.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _check_intact(connection: Connection, where: str) -> None:
    if connection.dialect.name != "sqlite":
        return
    verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if verdict != "ok":
        raise ConfigurationError(f"The database {where} is damaged: {verdict}. Restore a backup of it.")


def _migrate(connection: Connection, where: str) -> None:
    config = alembic_config(connection)
    current = MigrationContext.configure(connection).get_current_revision() or "base"
    script = ScriptDirectory.from_config(config)
    try:
        script.get_revision(current)
    except CommandError:
        raise ConfigurationError(
            f"The database {where} was written by a newer Tidegate: its schema is '{current}', and this version knows "
            f"'{script.get_current_head()}' at most. Start that Tidegate, or restore a backup from before the upgrade."
        ) from None
    command.upgrade(config, "head")
