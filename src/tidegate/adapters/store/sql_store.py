"""The store: endpoints, revisions, events, switches, enablements, sessions and locks in a database, by SQLAlchemy.

One thread does all the work, and each method is one transaction: the event loop never waits for the disk, and writes
are serial. On SQLite, the changes of a method that has returned are on the disk (WAL with `synchronous=FULL`), and a
process that is killed leaves nothing half-written. Only the control process opens the store.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, Table, bindparam, delete, insert, select, update

from tidegate.adapters.store.database_errors import database_errors, enabled_already, endpoint_gone, name_taken
from tidegate.adapters.store.opening import open_database
from tidegate.adapters.store.tables import ENABLEMENTS, ENDPOINTS, EVENTS, LOCKS, REVISIONS, SESSIONS, SWITCHES
from tidegate.core.access.session import Session
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.legacy_face import Product
from tidegate.core.endpoint.revision import Revision, RevisionId
from tidegate.core.errors import Conflict, Unavailable
from tidegate.core.legacy_products.enablement import Enablement
from tidegate.core.rollout.switch import Switch
from tidegate.json_lines import encoded
from tidegate.ports import MAX_SWITCHES, Event, Store

T = TypeVar("T")

_EVENTS_KEPT = 500  # per endpoint; a crash loop must not fill the disk


class SqlStore:
    """A Store in the database at a SQLAlchemy URI, such as `sqlite:////var/lib/tidegate/tidegate.db`."""

    def __init__(self, engine: Engine, thread: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._thread = thread
        self._endpoints: _Read[Endpoint] = _Read(Endpoint)
        self._revisions: _Read[Revision] = _Read(Revision)

    @classmethod
    async def open(cls, uri: str) -> "SqlStore":
        """Open the database, made or brought to this version's schema if need be.

        Raises ConfigurationError when it cannot be opened, is damaged, or belongs to a newer version.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        try:
            engine = await asyncio.get_running_loop().run_in_executor(thread, open_database, uri)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(engine, thread)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown()

    # --- endpoints

    async def endpoints(self) -> tuple[Endpoint, ...]:
        def work(connection: Connection) -> tuple[Endpoint, ...]:
            columns = select(ENDPOINTS.c.id, ENDPOINTS.c.spec)
            rows = connection.execute(columns.order_by(ENDPOINTS.c.name, ENDPOINTS.c.id)).all()
            return tuple(self._endpoints.read(rows).values())

        return await self._run(work)

    async def endpoint(self, name: str) -> Endpoint | None:
        query = select(ENDPOINTS.c.spec).where(ENDPOINTS.c.name == _text(name), ENDPOINTS.c.deleted_at.is_(None))

        def work(connection: Connection) -> Endpoint | None:
            spec = connection.scalar(query)
            return None if spec is None else msgspec.json.decode(spec, type=Endpoint)

        return await self._run(work)

    async def create_endpoint(self, endpoint: Endpoint) -> Endpoint:
        created = replace(endpoint, resource_version=1)

        def work(connection: Connection) -> None:
            connection.execute(insert(ENDPOINTS).values(id=created.id, **_endpoint_columns(created)))

        with name_taken(endpoint):
            await self._run(work)
        return created

    async def save_endpoint(self, endpoint: Endpoint, switch: Switch | None = None) -> Endpoint:
        saved = replace(endpoint, resource_version=endpoint.resource_version + 1)
        as_read = (ENDPOINTS.c.id == endpoint.id, ENDPOINTS.c.resource_version == endpoint.resource_version)

        def work(connection: Connection) -> int:
            rows = connection.execute(update(ENDPOINTS).where(*as_read).values(_endpoint_columns(saved))).rowcount
            if rows and switch is not None:
                columns = {"endpoint_id": switch.endpoint_id, "at": switch.at, "spec": _encode(switch)}
                connection.execute(insert(SWITCHES).values(columns))
                _keep_newest(connection, SWITCHES, switch.endpoint_id, MAX_SWITCHES)
            return rows

        with name_taken(endpoint):
            rows = await self._run(work)
        if rows == 0:
            raise Conflict(f"Endpoint '{endpoint.name}' was changed by somebody else in between. Try again.")
        return saved

    async def forget_endpoint(self, endpoint_id: str) -> None:
        def work(connection: Connection) -> None:
            connection.execute(delete(ENDPOINTS).where(ENDPOINTS.c.id == endpoint_id))  # the rest cascades

        await self._run(work)

    # --- revisions and events

    async def revisions(self) -> Mapping[RevisionId, Revision]:
        def work(connection: Connection) -> Mapping[RevisionId, Revision]:
            rows = connection.execute(select(REVISIONS.c.id, REVISIONS.c.spec).order_by(REVISIONS.c.id)).all()
            return {RevisionId(rid): revision for rid, revision in self._revisions.read(rows).items()}

        return await self._run(work)

    async def save_revision(self, revision: Revision) -> None:
        columns = {"endpoint_id": revision.endpoint_id, "state": revision.state.value, "spec": _encode(revision)}

        def work(connection: Connection) -> None:
            if not connection.execute(update(REVISIONS).where(REVISIONS.c.id == revision.id).values(columns)).rowcount:
                connection.execute(insert(REVISIONS).values(id=revision.id, **columns))

        with endpoint_gone(revision.endpoint_id):
            await self._run(work)

    async def drop_revisions(self, revisions: Collection[RevisionId]) -> None:
        dropped = delete(REVISIONS).where(REVISIONS.c.id == bindparam("dropped"))

        def work(connection: Connection) -> None:
            if revisions:
                connection.execute(dropped, [{"dropped": rid} for rid in revisions])

        await self._run(work)

    async def add_event(self, event: Event) -> None:
        def work(connection: Connection) -> None:
            connection.execute(insert(EVENTS).values(asdict(replace(event, message=_text(event.message)))))
            _keep_newest(connection, EVENTS, event.endpoint_id, _EVENTS_KEPT)

        with endpoint_gone(event.endpoint_id):
            await self._run(work)

    async def events(self, endpoint_id: str, limit: int = 200) -> tuple[Event, ...]:
        columns = (EVENTS.c.endpoint_id, EVENTS.c.at, EVENTS.c.kind, EVENTS.c.message)
        query = select(*columns).where(EVENTS.c.endpoint_id == endpoint_id).order_by(EVENTS.c.id.desc()).limit(limit)
        newest_first = await self._run(lambda connection: connection.execute(query).all())
        return tuple(Event(*row) for row in reversed(newest_first))

    async def switches(self, endpoint_id: str) -> tuple[Switch, ...]:
        query = select(SWITCHES.c.spec).where(SWITCHES.c.endpoint_id == endpoint_id).order_by(SWITCHES.c.id)

        def work(connection: Connection) -> tuple[Switch, ...]:
            return tuple(msgspec.json.decode(spec, type=Switch) for spec in connection.scalars(query))

        return await self._run(work)

    # --- enablements

    async def enablements(self) -> tuple[Enablement, ...]:
        query = select(ENABLEMENTS.c.spec).order_by(ENABLEMENTS.c.product, ENABLEMENTS.c.model)

        def work(connection: Connection) -> tuple[Enablement, ...]:
            return tuple(msgspec.json.decode(spec, type=Enablement) for spec in connection.scalars(query))

        return await self._run(work)

    async def save_enablement(self, enablement: Enablement) -> Enablement:
        saved = replace(enablement, resource_version=enablement.resource_version + 1)
        key = {"product": saved.product.value, "model": saved.model}
        columns = {"resource_version": saved.resource_version, "spec": _encode(saved)}
        as_read = (
            *(ENABLEMENTS.c[name] == value for name, value in key.items()),
            ENABLEMENTS.c.resource_version == enablement.resource_version,
        )

        def work(connection: Connection) -> int:
            if enablement.resource_version:
                return connection.execute(update(ENABLEMENTS).where(*as_read).values(columns)).rowcount
            return connection.execute(insert(ENABLEMENTS).values(**key, **columns)).rowcount

        with enabled_already(enablement):
            rows = await self._run(work)
        if rows == 0:
            raise Conflict(f"The serving of model '{saved.model}' was changed by somebody else in between. Try again.")
        return saved

    async def drop_enablement(self, product: Product, model: str) -> None:
        mine = (ENABLEMENTS.c.product == product.value, ENABLEMENTS.c.model == model)

        def work(connection: Connection) -> None:
            connection.execute(delete(ENABLEMENTS).where(*mine))

        await self._run(work)

    # --- sessions

    async def sessions(self) -> tuple[Session, ...]:
        query = select(*SESSIONS.c).order_by(SESSIONS.c.created_at, SESSIONS.c.hash)
        return tuple(Session(*row) for row in await self._run(lambda connection: connection.execute(query).all()))

    async def save_session(self, session: Session) -> None:
        columns = asdict(session)

        def work(connection: Connection) -> None:
            known = update(SESSIONS).where(SESSIONS.c.hash == session.hash)
            if not connection.execute(known.values(columns)).rowcount:
                connection.execute(insert(SESSIONS).values(columns))

        await self._run(work)

    async def drop_sessions(self, hashes: Collection[str]) -> None:
        dropped = delete(SESSIONS).where(SESSIONS.c.hash == bindparam("dropped"))

        def work(connection: Connection) -> None:
            if hashes:
                connection.execute(dropped, [{"dropped": digest} for digest in hashes])

        await self._run(work)

    # --- locks

    async def lock_of(self, input_digest: str) -> str | None:
        query = select(LOCKS.c.lock).where(LOCKS.c.input_digest == input_digest)
        return await self._run(lambda connection: connection.scalar(query))

    async def remember_lock(self, input_digest: str, lock: str) -> None:
        def work(connection: Connection) -> None:
            known = update(LOCKS).where(LOCKS.c.input_digest == input_digest)
            if not connection.execute(known.values(lock=lock)).rowcount:
                connection.execute(insert(LOCKS).values(input_digest=input_digest, lock=lock))

        await self._run(work)

    async def _run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on the store's thread in one transaction. Raises Unavailable and IntegrityError."""

        def transact() -> T:
            with database_errors(), self._engine.begin() as connection:
                return work(connection)

        try:
            future = self._thread.submit(transact)
        except RuntimeError as error:  # what an executor raises after its shutdown
            raise Unavailable("The store is closed: the platform is stopping.") from error
        return await asyncio.wrap_future(future)


_: type[Store] = SqlStore


class _Read(Generic[T]):
    """The records of a table at the last read. An unchanged record is not decoded again."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(kind)
        self._known: dict[str, tuple[str, T]] = {}

    def read(self, rows: Iterable[Any]) -> dict[str, T]:
        """The records of these rows of id and JSON; an unchanged record is the same object as before."""
        fresh: dict[str, tuple[str, T]] = {}
        for key, spec in rows:
            known = self._known.get(key)
            fresh[key] = known if known is not None and known[0] == spec else (spec, self._decoder.decode(spec))
        self._known = fresh
        return {key: record for key, (_, record) in fresh.items()}


def _encode(value: Endpoint | Revision | Switch | Enablement) -> str:
    return encoded(value).decode()


def _text(value: str) -> str:
    """A text as every database takes it. PostgreSQL has no NUL, and none has half of a surrogate pair."""
    return value.replace("\0", "?").encode(errors="replace").decode()


def _keep_newest(connection: Connection, table: Table, endpoint_id: str, count: int) -> None:
    """Drop all rows of an endpoint but the newest `count`."""
    mine = table.c.endpoint_id == endpoint_id
    oldest_kept = select(table.c.id).where(mine).order_by(table.c.id.desc()).offset(count - 1).limit(1)
    connection.execute(delete(table).where(mine, table.c.id < oldest_kept.scalar_subquery()))


def _endpoint_columns(endpoint: Endpoint) -> dict[str, object]:
    return {
        "name": endpoint.name,
        "deleted_at": endpoint.deleted_at,
        "resource_version": endpoint.resource_version,
        "spec": _encode(endpoint),
    }
