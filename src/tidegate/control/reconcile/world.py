"""The world as control sees it: store, engine, gateways and builds in one snapshot."""

import asyncio
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.publish.route_publisher import Publisher
from tidegate.control.reconcile.autoscaler import Autoscaler
from tidegate.control.reconcile.builds import Builds
from tidegate.control.reconcile.preparation_times import PreparationTimes
from tidegate.control.wakeups import Wakeups
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import RevisionId, RevisionObservation
from tidegate.core.endpoint.status import EndpointStatus, project
from tidegate.core.errors import Unavailable
from tidegate.core.rollout.gate import GateDefaults
from tidegate.core.rollout.snapshot import Snapshot
from tidegate.ports import Clock, Engine, Store

# The store is read after every write of this process, and besides after this many seconds.
_READ_STORE_EVERY = 30.0
# An engine that has not answered within this many seconds counts as away.
ENGINE_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class ReconcilerPorts:
    """The ports that the reconciler acts through."""

    store: Store
    engine: Engine
    clock: Clock


@dataclass(frozen=True, slots=True)
class Defaults:
    """What applies where an endpoint says nothing else: a replica's memory by workload_type, bytes, and the gate."""

    memory_limits: Mapping[str, int] = field(default_factory=dict)
    gate: GateDefaults = field(default_factory=GateDefaults)


@dataclass(frozen=True, slots=True)
class Sources:
    """The parts of control that a snapshot is made of besides the ports."""

    builds: Builds
    gateways: Gateways
    autoscaler: Autoscaler
    publisher: Publisher


class World:
    """Takes snapshots. `snapshot` is the newest one; `looked` is whether there was one."""

    def __init__(self, ports: ReconcilerPorts, sources: Sources, wakeups: Wakeups, defaults: Defaults) -> None:
        self.snapshot = Snapshot(memory_limits=defaults.memory_limits, gate=defaults.gate)
        self.looked = False
        # The engine's newest report. It is kept while the engine is away: its replicas serve on without it.
        self.observations: Mapping[RevisionId, RevisionObservation] = {}
        self._ports, self._sources, self._wakeups = ports, sources, wakeups
        self._read_at = 0.0  # monotonic seconds

    async def observe(self) -> Snapshot:
        """Take a snapshot, and publish the routes that its endpoints have. Raises Unavailable without a store."""
        await self._read_store()
        endpoints, revisions = self.snapshot.endpoints, self.snapshot.revisions
        self._sources.publisher.publish(endpoints)
        observations = await self._ask_engine()
        endpoints = self.snapshot.endpoints
        retiring = [rid for rid, revision in revisions.items() if revision.state is RevisionState.RETIRING]
        scales = {} if observations is None else self._sources.autoscaler.scales(endpoints, revisions, observations)
        self.times.look(revisions, observations)
        self.snapshot = replace(
            self.snapshot,
            preparations=self._sources.builds.preparations,
            observations=observations,
            unrouted=self._sources.gateways.unrouted(retiring),
            scales=scales,
            findings=self._sources.publisher.findings,
        )
        return self.snapshot

    @property
    def times(self) -> PreparationTimes:
        """When the steps of preparations began and ended."""
        return self._sources.builds.times

    def show(self, endpoint: Endpoint) -> None:
        """Put an endpoint that was just written into the snapshot, and publish its routes."""
        endpoints = tuple(endpoint if other.id == endpoint.id else other for other in self.snapshot.endpoints)
        self.snapshot = replace(self.snapshot, endpoints=endpoints)
        self._sources.publisher.publish(endpoints)

    def status_of(self, endpoint: Endpoint) -> EndpointStatus:
        """The public state of an endpoint, by the newest snapshot."""
        return project(endpoint, self.snapshot.revisions, self.observations)

    async def _read_store(self) -> None:
        now = self._ports.clock.monotonic()
        if self.looked and not self._wakeups.store_changed and now - self._read_at < _READ_STORE_EVERY:
            return
        self._wakeups.store_changed, self._read_at = False, now
        try:
            endpoints, revisions = await self._ports.store.endpoints(), await self._ports.store.revisions()
        except BaseException:
            self._wakeups.store_changed = True
            raise
        known = self.snapshot
        endpoints = _newest(endpoints, known.endpoints)
        # An unchanged part stays the same object: the plan and the route table are made anew only for another one.
        if not _identical(known.endpoints, endpoints):
            self.snapshot = replace(self.snapshot, endpoints=endpoints)
        if not _identical(tuple(known.revisions.values()), tuple(revisions.values())):
            self.snapshot = replace(self.snapshot, revisions=revisions)
        self.looked = True

    async def _ask_engine(self) -> Mapping[RevisionId, RevisionObservation] | None:
        try:
            async with asyncio.timeout(ENGINE_TIMEOUT):
                self.observations = await self._ports.engine.observe()
        except (Unavailable, TimeoutError):
            return None
        return self.observations


def _newest(read: tuple[Endpoint, ...], known: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """The endpoints as read, but for those that this process has written since the read began."""
    versions = {endpoint.id: endpoint for endpoint in known}
    pairs = ((endpoint, versions.get(endpoint.id, endpoint)) for endpoint in read)
    return tuple(mine if mine.resource_version > stored.resource_version else stored for stored, mine in pairs)


def _identical(one: Sequence[object], other: Sequence[object]) -> bool:
    return len(one) == len(other) and all(map(operator.is_, one, other))
