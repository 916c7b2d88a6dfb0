"""The verbs over endpoints that only read: from the store, the world and the disk."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidegate.control.endpoints.endpoint_views import (
    EndpointView,
    GateView,
    LogKind,
    ReplicaView,
    RunningView,
    SwitchesView,
)
from tidegate.control.endpoints.log_follower import LogEnd, LogFollower, log_end
from tidegate.control.endpoints.log_tail import tail
from tidegate.control.endpoints.openapi_document import describe
from tidegate.control.endpoints.preparation_view import (
    PreparationLogs,
    PreparationView,
    preparation_of,
)
from tidegate.control.reconcile.world import World
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.endpoint.revision import RevisionId, revision_id
from tidegate.core.endpoint.status import project
from tidegate.core.errors import Conflict, NotFound
from tidegate.core.rollout.gate import policy_of
from tidegate.core.rollout.parking import kept_until
from tidegate.data_directory import DataDirectory
from tidegate.ports import Clock, Event, Store
from tidegate.settings import RolloutSettings


class EndpointQueries:
    """Each verb raises NotFound for an endpoint that is not there, and Unavailable when the store is away."""

    def __init__(
        self, store: Store, clock: Clock, data: DataDirectory, world: World, rollouts: RolloutSettings
    ) -> None:
        self._store, self._clock, self._data, self._world, self._rollouts = store, clock, data, world, rollouts

    @property
    def default_gate(self) -> GatePolicy:
        """The gate policy of endpoints that have none of their own."""
        return self._world.snapshot.gate.policy

    @property
    def memory_limits(self) -> Mapping[str, int]:
        """The memory that one replica may use, bytes, by workload_type."""
        return self._world.snapshot.memory_limits

    async def get(self, name: str) -> EndpointView:
        """One endpoint."""
        return self._view(await self._known(name))

    async def list(self) -> tuple[EndpointView, ...]:
        """All endpoints, by name."""
        endpoints = await self._store.endpoints()
        snapshot, observations = self._world.snapshot, self._world.observations

        def views() -> tuple[EndpointView, ...]:
            present = (endpoint for endpoint in endpoints if endpoint.deleted_at is None)
            return tuple(EndpointView(one, project(one, snapshot.revisions, observations)) for one in present)

        return await asyncio.to_thread(views)

    async def seen(self) -> tuple[EndpointView, ...]:
        """All endpoints as the newest snapshot has them, by name: no question to the store, for what looks often."""
        snapshot, observations = self._world.snapshot, self._world.observations

        def views() -> tuple[EndpointView, ...]:
            present = (endpoint for endpoint in snapshot.endpoints if endpoint.deleted_at is None)
            return tuple(EndpointView(one, project(one, snapshot.revisions, observations)) for one in present)

        return await asyncio.to_thread(views)

    def known(self, name: str) -> EndpointView | None:
        """An endpoint as the newest snapshot has it, for what looks often; None where it has none of that name."""
        found = (endpoint for endpoint in self._world.snapshot.endpoints if endpoint.name == name)
        endpoint = next((endpoint for endpoint in found if endpoint.deleted_at is None), None)
        return None if endpoint is None else self._view(endpoint)

    def running(self, endpoint: Endpoint) -> RunningView:
        """The replicas of an endpoint's active configuration, by the engine's newest report."""
        entities = endpoint.active.served_entities if endpoint.active else ()
        seen = [self._world.observations.get(revision_id(endpoint.id, entity)) for entity in entities]
        known = [observation for observation in seen if observation is not None]
        return RunningView(
            sum(observation.ready_replicas for observation in known),
            sum(observation.target.replicas for observation in known),
            sum(entity.scaling.min_replicas for entity in entities),
            sum(entity.scaling.max_replicas for entity in entities),
            max((observation.target.memory_bytes for observation in known), default=0),
        )

    def kept_until(self, endpoint: Endpoint) -> float | None:
        """When the endpoint's parked replicas end, unix seconds; None where they have ended, or nothing is parked."""
        until = kept_until(endpoint.previous, self._rollouts.park_seconds) if endpoint.previous else 0.0
        return until if until > self._clock.now() else None

    async def gate(self, name: str) -> GateView:
        """The endpoint's gate policy, and the gate's newest report."""
        endpoint = await self._known(name)
        policy = policy_of(endpoint, self._world.snapshot.gate)
        if endpoint.failed is not None and endpoint.failed.report:
            return GateView(policy, endpoint.failed.report)
        reports = [switch.report for switch in await self._store.switches(endpoint.id) if switch.report]
        return GateView(policy, reports[-1] if reports else "")

    async def switches(self, name: str) -> SwitchesView:
        """The endpoint's switches, and the configuration that a rollback would bring back."""
        endpoint = await self._known(name)
        return SwitchesView(await self._store.switches(endpoint.id), endpoint.previous, self.kept_until(endpoint))

    async def events(self, name: str) -> tuple[Event, ...]:
        """What happened to the endpoint, oldest first."""
        return await self._store.events((await self._known(name)).id)

    async def replicas(self, name: str) -> tuple[ReplicaView, ...]:
        """The processes of the endpoint, oldest first, those that start or drain included."""
        endpoint, world = await self._known(name), self._world
        found = [
            ReplicaView(revision.entity.name, revision.id, replica)
            for revision in world.snapshot.revisions.values()
            if revision.endpoint_id == endpoint.id and revision.id in world.observations
            for replica in world.observations[revision.id].replicas
        ]
        return tuple(sorted(found, key=lambda view: view.replica.started_at))

    async def logs(self, name: str, served_entity: str, config_version: int | None = None) -> str:
        """The last lines of a served entity's replicas, at most MAX_LOG_BYTES bytes. Raises NotFound."""
        revision = _revision_of(await self._known(name), served_entity, config_version)
        return await asyncio.to_thread(tail, self._data.replica_log(revision))

    async def build_logs(self, name: str, served_entity: str, config_version: int | None = None) -> str:
        """The log of a served entity's preparation, at most MAX_LOG_BYTES bytes. Raises NotFound."""
        revision = _revision_of(await self._known(name), served_entity, config_version)
        return await asyncio.to_thread(tail, self._data.build_log(revision))

    async def log_end(
        self, name: str, kind: LogKind, served_entity: str, config_version: int | None, most: int
    ) -> LogEnd:
        """The last lines of one of a served entity's logs, at most so many bytes. Raises NotFound."""
        path = self._log(_revision_of(await self._known(name), served_entity, config_version), kind)
        return await asyncio.to_thread(log_end, path, most)

    async def follow_log(
        self, name: str, kind: LogKind, served_entity: str, config_version: int | None, read_from: int | None
    ) -> LogFollower:
        """What reads a log as it grows, from this byte on; None for its end. Raises NotFound."""
        path = self._log(_revision_of(await self._known(name), served_entity, config_version), kind)
        return LogFollower(path, read_from)

    async def preparation(self, name: str) -> PreparationView:
        """How far the newest attempt to serve a configuration is."""
        endpoint = await self._known(name)
        switches, events = await self._store.switches(endpoint.id), await self._store.events(endpoint.id)
        return preparation_of(self._world, endpoint, self._clock.now(), switches, events)

    def preparation_seen(self, view: EndpointView) -> PreparationView:
        """The same by the newest snapshot, for what looks often."""
        return preparation_of(self._world, view.endpoint, self._clock.now())

    async def preparation_logs(self, revision: RevisionId, most: int) -> PreparationLogs:
        """The ends of the logs of a preparation, at most so many bytes of each."""
        paths = self._data.build_log(revision), self._data.replica_log(revision)
        return PreparationLogs(*await asyncio.to_thread(lambda: [log_end(path, most) for path in paths]))

    def follow_preparation(self, revision: RevisionId, build: int, replica: int) -> tuple[LogFollower, LogFollower]:
        """What reads the logs of a preparation as they grow, from these bytes on: of its build, and of its replicas."""
        logs = self._data.build_log(revision), self._data.replica_log(revision)
        return LogFollower(logs[0], build), LogFollower(logs[1], replica)

    async def openapi(self, name: str) -> dict[str, Any]:
        """OpenAPI 3.1 of the endpoint's invocations. Raises Conflict before its models have been downloaded."""
        endpoint = await self._known(name)
        config = endpoint.active or endpoint.latest_config
        assert config is not None
        models: dict[str, Path] = {}
        for entity in config.served_entities:
            revision = self._world.snapshot.revisions.get(revision_id(endpoint.id, entity))
            if revision is None or not revision.model_dir:
                raise Conflict(f"Endpoint '{name}' has not been prepared yet; ask again when it is ready.")
            models[entity.name] = Path(revision.model_dir)
        return await asyncio.to_thread(describe, endpoint.name, config, models)

    # ---

    def _log(self, revision: RevisionId, kind: LogKind) -> Path:
        return self._data.build_log(revision) if kind is LogKind.BUILD else self._data.replica_log(revision)

    async def _known(self, name: str) -> Endpoint:
        endpoint = await self._store.endpoint(name)
        if endpoint is None:
            raise NotFound(f"There is no endpoint '{name[:80]}'.")
        return endpoint

    def _view(self, endpoint: Endpoint) -> EndpointView:
        return EndpointView(endpoint, self._world.status_of(endpoint))


def _revision_of(endpoint: Endpoint, served_entity: str, config_version: int | None) -> RevisionId:
    """The revision of a served entity. The newest attempt comes first: users ask for its logs."""
    attempts = (endpoint.pending, endpoint.failed)
    configs = (*(attempt.config if attempt else None for attempt in attempts), *endpoint.configs)
    for config in configs:
        if config is not None and config_version in (None, config.version):
            entity = config.entity(served_entity)
            if entity is not None:
                return revision_id(endpoint.id, entity)
    known = sorted({config.version for config in configs if config})
    if config_version is not None and config_version not in known:
        raise NotFound(
            f"Endpoint '{endpoint.name}' has no configuration {config_version} any more, or never had. There are "
            f"logs of what serves, served before, is on its way or failed last: {', '.join(map(str, known))}."
        )
    names = sorted({entity.name for config in configs if config for entity in config.served_entities})
    raise NotFound(
        f"Endpoint '{endpoint.name}' has no served entity '{served_entity[:80]}'"
        f"{'' if config_version is None else f' in configuration {config_version}'}; it has {', '.join(names)}."
    )
