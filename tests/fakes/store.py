"""A store in memory, for tests of what stands above it."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from tidegate.core.access.session import Session
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.legacy_face import Product
from tidegate.core.endpoint.revision import Revision, RevisionId
from tidegate.core.errors import AlreadyExists, Conflict, NotFound, TidegateError
from tidegate.core.legacy_products.enablement import Enablement
from tidegate.core.rollout.switch import Switch
from tidegate.ports import MAX_SWITCHES, Event, Store


class FakeStore:
    """Keeps everything in dictionaries. While `failure` is set, every method raises it."""

    def __init__(self) -> None:
        self.failure: TidegateError | None = None
        self._endpoints: dict[str, Endpoint] = {}
        self._revisions: dict[RevisionId, Revision] = {}
        self._events: list[Event] = []
        self._switches: list[Switch] = []
        self._enablements: dict[tuple[str, str], Enablement] = {}
        self._sessions: dict[str, Session] = {}
        self._locks: dict[str, str] = {}

    @property
    def all_endpoints(self) -> tuple[Endpoint, ...]:
        """What is on record, failure or not."""
        return tuple(self._endpoints.values())

    async def endpoints(self) -> tuple[Endpoint, ...]:
        self._work()
        return tuple(sorted(self._endpoints.values(), key=lambda endpoint: (endpoint.name, endpoint.id)))

    async def endpoint(self, name: str) -> Endpoint | None:
        self._work()
        return next((e for e in self._endpoints.values() if e.name == name and e.deleted_at is None), None)

    async def create_endpoint(self, endpoint: Endpoint) -> Endpoint:
        self._work()
        self._check_name(endpoint)
        if endpoint.id in self._endpoints:
            raise AlreadyExists(f"There is an endpoint with the id '{endpoint.id}' already.")
        return self._keep(replace(endpoint, resource_version=1))

    async def save_endpoint(self, endpoint: Endpoint, switch: Switch | None = None) -> Endpoint:
        self._work()
        stored = self._endpoints.get(endpoint.id)
        if stored is None or stored.resource_version != endpoint.resource_version:
            raise Conflict(f"Endpoint '{endpoint.name}' was changed by somebody else in between. Try again.")
        self._check_name(endpoint)
        if switch is not None:
            self._switches.append(switch)
        return self._keep(replace(endpoint, resource_version=endpoint.resource_version + 1))

    async def forget_endpoint(self, endpoint_id: str) -> None:
        self._work()
        self._endpoints.pop(endpoint_id, None)
        self._revisions = {rid: r for rid, r in self._revisions.items() if r.endpoint_id != endpoint_id}
        self._events = [event for event in self._events if event.endpoint_id != endpoint_id]
        self._switches = [switch for switch in self._switches if switch.endpoint_id != endpoint_id]

    async def revisions(self) -> Mapping[RevisionId, Revision]:
        self._work()
        return dict(sorted(self._revisions.items()))

    async def save_revision(self, revision: Revision) -> None:
        self._work()
        self._check_on_record(revision.endpoint_id)
        self._revisions[revision.id] = revision

    async def drop_revisions(self, revisions: Collection[RevisionId]) -> None:
        self._work()
        self._revisions = {rid: revision for rid, revision in self._revisions.items() if rid not in revisions}

    async def add_event(self, event: Event) -> None:
        self._work()
        self._check_on_record(event.endpoint_id)
        message = event.message.replace("\0", "?").encode(errors="replace").decode()
        self._events.append(replace(event, message=message))

    async def events(self, endpoint_id: str, limit: int = 200) -> tuple[Event, ...]:
        self._work()
        mine = [event for event in self._events if event.endpoint_id == endpoint_id]
        return tuple(mine[-limit:])

    async def switches(self, endpoint_id: str) -> tuple[Switch, ...]:
        self._work()
        mine = [switch for switch in self._switches if switch.endpoint_id == endpoint_id]
        return tuple(mine[-MAX_SWITCHES:])

    async def enablements(self) -> tuple[Enablement, ...]:
        self._work()
        return tuple(enablement for _, enablement in sorted(self._enablements.items()))

    async def save_enablement(self, enablement: Enablement) -> Enablement:
        self._work()
        key = enablement.product.value, enablement.model
        stored = self._enablements.get(key)
        if (stored.resource_version if stored else 0) != enablement.resource_version:
            raise Conflict(f"The serving of model '{enablement.model}' was changed by somebody else. Try again.")
        self._enablements[key] = replace(enablement, resource_version=enablement.resource_version + 1)
        return self._enablements[key]

    async def drop_enablement(self, product: Product, model: str) -> None:
        self._work()
        self._enablements.pop((product.value, model), None)

    async def sessions(self) -> tuple[Session, ...]:
        self._work()
        return tuple(sorted(self._sessions.values(), key=lambda session: (session.created_at, session.hash)))

    async def save_session(self, session: Session) -> None:
        self._work()
        self._sessions[session.hash] = session

    async def drop_sessions(self, hashes: Collection[str]) -> None:
        self._work()
        self._sessions = {digest: session for digest, session in self._sessions.items() if digest not in hashes}

    async def lock_of(self, input_digest: str) -> str | None:
        self._work()
        return self._locks.get(input_digest)

    async def remember_lock(self, input_digest: str, lock: str) -> None:
        self._work()
        self._locks[input_digest] = lock

    async def close(self) -> None:
        pass

    def _work(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _keep(self, endpoint: Endpoint) -> Endpoint:
        self._endpoints[endpoint.id] = endpoint
        return endpoint

    def _check_name(self, endpoint: Endpoint) -> None:
        others = (e for e in self._endpoints.values() if e.id != endpoint.id and e.deleted_at is None)
        if endpoint.deleted_at is None and any(other.name == endpoint.name for other in others):
            raise AlreadyExists(f"There is an endpoint '{endpoint.name}' already. Choose another name.")

    def _check_on_record(self, endpoint_id: str) -> None:
        if endpoint_id not in self._endpoints:
            raise NotFound(f"The endpoint with the id '{endpoint_id}' is not on record any more.")


_: type[Store] = FakeStore
