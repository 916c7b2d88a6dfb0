"""The verbs over endpoints: what every face, the REST API, the command line and the dashboard, calls.

A verb writes what is wanted, wakes the reconciler and returns at once; it never waits for a build or a replica.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tidegate.control.log_tail import tail
from tidegate.control.openapi_document import describe
from tidegate.control.reconciler import Reconciler
from tidegate.control.views import GateView, ReplicaView, SwitchesView
from tidegate.core.endpoint.endpoint import (
    FOLLOWER,
    ROLLBACK,
    Endpoint,
    EndpointConfig,
    ModelRef,
    ModelVersion,
    PendingConfig,
    Route,
    ServedEntity,
    default_routes,
)
from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.endpoint.legacy_face import Face
from tidegate.core.endpoint.revision import RevisionId, revision_id
from tidegate.core.endpoint.status import EndpointStatus
from tidegate.core.endpoint.validation import check_config, check_name
from tidegate.core.errors import AlreadyExists, Conflict, InvalidParameter, NotFound, TidegateError
from tidegate.core.legacy_products.enablement import check_owner, kept_out, refusing_what_failed
from tidegate.core.rollout.following import Pointers, follow
from tidegate.core.rollout.gate import policy_of
from tidegate.core.rollout.parking import kept_until
from tidegate.data_directory import DataDirectory
from tidegate.ports import Clock, Event, ModelRegistry, Store
from tidegate.settings import RolloutSettings
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# What `ServedEntity.resolved` is in a request: the verbs fill in the version that the registry names.
UNRESOLVED = ModelVersion("", "")

MAX_TAGS = 50
# How often a change that is safe to repeat is tried when somebody else writes the same endpoint at the same time.
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class ConfigRequest:
    """A configuration as asked for. No `routes` mean all traffic to the first entity; in an update, no
    `served_entities` mean those that are served already, at the versions that they have.
    """

    served_entities: tuple[ServedEntity, ...] | None
    routes: tuple[Route, ...] | None = None
    forced: bool = False  # switch to it without a gate


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """An endpoint as asked for."""

    name: str
    config: ConfigRequest
    creator: str
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    route_optimized: bool = False
    face: Face | None = None
    gate: GatePolicy | None = None


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint and its public state."""

    endpoint: Endpoint
    status: EndpointStatus


class Endpoints:
    """The verbs. Each raises NotFound for an endpoint that is not there, and Unavailable when the store is away.

    `on_asked` is called when a user has asked for a configuration, or for a rollback.
    """

    def __init__(
        self,
        store: Store,
        registry: ModelRegistry,
        clock: Clock,
        data: DataDirectory,
        reconciler: Reconciler,
        rollouts: RolloutSettings,
    ) -> None:
        self._store, self._registry, self._clock, self._data = store, registry, clock, data
        self._reconciler, self._rollouts = reconciler, rollouts
        self.on_asked: Callable[[], None] = lambda: None

    async def create(self, request: EndpointRequest) -> EndpointView:
        """Add an endpoint; its first configuration is on its way.

        Raises InvalidParameter, AlreadyExists, NotFound when a model version is not there, Conflict when one is not
        ready, and Unavailable when the registry is away.
        """
        check_name(request.name)
        _check_tags(request.tags)
        if await self._store.endpoint(request.name) is not None:
            raise AlreadyExists(f"There is an endpoint '{request.name}' already. Update it, or choose another name.")
        config, now = await self._accept(request.config, None), self._clock.now()
        endpoint = Endpoint(
            id=uuid.uuid4().hex,
            name=request.name,
            creator=request.creator,
            created_at=now,
            updated_at=now,
            pending=PendingConfig(config, now, request.creator),
            description=request.description,
            tags=request.tags,
            route_optimized=request.route_optimized,
            face=request.face,
            gate=request.gate,
        )
        created = await self._store.create_endpoint(endpoint)
        self.on_asked()
        return await self._changed(created, "created", f"Endpoint '{request.name}' was created.")

    async def update_config(
        self, name: str, request: ConfigRequest, by: str = "", face: Face | None = None
    ) -> EndpointView:
        """Put another configuration on its way; the one that serves goes on until the new one is ready, or for good.

        `by` is who asks, and `face` as part of which product. It takes the place of what only a moved alias or stage
        has put on its way; a product's own takes that of any update. Raises as `create` does, and Conflict while
        another update runs, or where the endpoint is another product's.
        """
        config = await self._accept(request, _open_to_update(await self._known(name), face))

        def update(endpoint: Endpoint) -> Endpoint:
            version, now = _open_to_update(endpoint, face).next_version, self._clock.now()
            updated = endpoint.with_update(replace(config, version=version), now, by, forced=request.forced)
            return refusing_what_failed(endpoint, updated) if face is not None else updated

        updated = await self._change(name, update)
        assert updated.pending is not None
        self.on_asked()
        message = f"Configuration {updated.pending.config.version} is on its way."
        return await self._changed(updated, "update_started", message)

    async def follow(self, endpoint: Endpoint, pointers: Pointers) -> Endpoint:
        """Have an endpoint serve what its aliases and stages mean; it must have been read before they were asked for.

        Raises Conflict when somebody has written it since: these pointers may be older than what was asked for.
        """
        followed = follow(endpoint, pointers, self._clock.now())
        if followed is None:
            return endpoint
        saved = await self._store.save_endpoint(followed.endpoint)
        self._reconciler.nudge()
        for kind, message in followed.news:
            await self._tell(saved, kind, message)
        return saved

    async def rollback(self, name: str) -> EndpointView:
        """Have what served before serve again, at the next pass. While an update is on its way, drop that instead.

        While a rollback is on its way, nothing changes. Raises Conflict when there is nothing to go back to.
        """
        before = await self._known(name)
        if before.pending is not None and before.pending.by == ROLLBACK:
            return self._view(before)
        changed = await self._change(name, lambda endpoint: endpoint.rolled_back(self._clock.now()))
        self.on_asked()
        if changed.pending is not None:
            message = f"Configuration {changed.pending.config.version} is on its way back."
            return await self._changed(changed, "rollback_started", message)
        assert changed.active is not None
        message = f"The update was taken back before it served; configuration {changed.active.version} goes on."
        return await self._changed(changed, "update_dropped", message)

    async def force(self, name: str, by: str = "") -> EndpointView:
        """Have what the gate held back serve all the same; at an enabled model's stage, what is kept out of it too.

        Raises Conflict when there is nothing of the kind.
        """

        def force(endpoint: Endpoint) -> Endpoint:
            failed = endpoint.failed
            config = failed.config if failed is not None and failed.report else kept_out(endpoint)
            if config is None:
                raise Conflict(
                    f"The gate holds back nothing of endpoint '{name}'. An update with \"force\" asks no gate."
                )
            config = replace(config, version=_open_to_update(endpoint, endpoint.face).next_version)
            return endpoint.with_update(config, self._clock.now(), by, forced=True)

        forced = await self._change(name, force)
        assert forced.pending is not None
        self.on_asked()
        message = f"Configuration {forced.pending.config.version} is on its way, past the gate."
        return await self._changed(forced, "update_started", message)

    @property
    def default_gate(self) -> GatePolicy:
        """What holds back where an endpoint says nothing else."""
        return self._reconciler.world.gate.policy

    async def gate(self, name: str) -> GateView:
        """What the endpoint's gate is like, and what it found last."""
        endpoint = await self._known(name)
        policy = policy_of(endpoint, self._reconciler.world.gate)
        if endpoint.failed is not None and endpoint.failed.report:
            return GateView(policy, endpoint.failed.report)
        reports = [switch.report for switch in await self._store.switches(endpoint.id) if switch.report]
        return GateView(policy, reports[-1] if reports else "")

    async def set_gate(self, name: str, policy: GatePolicy) -> GateView:
        """Change what the endpoint's gate holds back, from the next update on."""
        await self._change(name, lambda endpoint: replace(endpoint, gate=policy, updated_at=self._clock.now()))
        self._reconciler.nudge()
        return await self.gate(name)

    async def switches(self, name: str) -> SwitchesView:
        """What took whose place, and what a rollback would bring back."""
        endpoint = await self._known(name)
        until = kept_until(endpoint.previous, self._rollouts.park_seconds) if endpoint.previous else 0.0
        kept = until if until > self._clock.now() else None
        return SwitchesView(await self._store.switches(endpoint.id), endpoint.previous, kept)

    async def get(self, name: str) -> EndpointView:
        """One endpoint."""
        return self._view(await self._known(name))

    async def list(self) -> tuple[EndpointView, ...]:
        """All endpoints, by name."""
        return tuple(self._view(endpoint) for endpoint in await self._store.endpoints() if endpoint.deleted_at is None)

    async def delete(self, name: str, face: Face | None = None) -> None:
        """Take the endpoint away, an update under way included. Its replicas drain; its name is free at once.

        Raises Conflict where it is a product's and `face` is not that one's.
        """

        def delete(endpoint: Endpoint) -> Endpoint:
            check_owner(endpoint, face)
            return replace(endpoint, deleted_at=self._clock.now(), generation=endpoint.generation + 1)

        await self._changed(await self._change(name, delete), "deleted", f"Endpoint '{name}' was deleted.")

    async def patch_tags(self, name: str, add: Mapping[str, str], delete: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """Set and take away tags; returns those that the endpoint has now. Raises InvalidParameter."""

        def patch(endpoint: Endpoint) -> Endpoint:
            kept = {key: value for key, value in endpoint.tags if key not in delete}
            tags = tuple({**kept, **add}.items())
            _check_tags(tags)
            return replace(endpoint, tags=tags, updated_at=self._clock.now())

        patched = await self._change(name, patch)
        self._reconciler.nudge()
        return patched.tags

    async def logs(self, name: str, served_entity: str, config_version: int | None = None) -> str:
        """What the replicas of a served entity printed last, at most MAX_LOG_BYTES. Raises NotFound."""
        revision = self._revision(await self._known(name), served_entity, config_version)
        return await asyncio.to_thread(tail, self._data.replica_log(revision))

    async def build_logs(self, name: str, served_entity: str, config_version: int | None = None) -> str:
        """The log of a served entity's preparation, from its first second on. Raises NotFound."""
        revision = self._revision(await self._known(name), served_entity, config_version)
        return await asyncio.to_thread(tail, self._data.build_log(revision))

    async def openapi(self, name: str) -> dict[str, Any]:
        """OpenAPI 3.1 of the endpoint's invocations. Raises Conflict before its models have been downloaded."""
        endpoint = await self._known(name)
        config = endpoint.active or endpoint.latest_config
        assert config is not None
        models: dict[str, Path] = {}
        for entity in config.served_entities:
            revision = self._reconciler.world.revisions.get(revision_id(endpoint.id, entity))
            if revision is None or not revision.model_dir:
                raise Conflict(f"Endpoint '{name}' has not been prepared yet; ask again when it is ready.")
            models[entity.name] = Path(revision.model_dir)
        return await asyncio.to_thread(describe, endpoint.name, config, models)

    async def replicas(self, name: str) -> tuple[ReplicaView, ...]:
        """The processes that run for the endpoint now, those that start or drain included, oldest first."""
        endpoint, reconciler = await self._known(name), self._reconciler
        found = [
            ReplicaView(revision.entity.name, revision.id, replica)
            for revision in reconciler.world.revisions.values()
            if revision.endpoint_id == endpoint.id and revision.id in reconciler.observations
            for replica in reconciler.observations[revision.id].replicas
        ]
        return tuple(sorted(found, key=lambda view: view.replica.started_at))

    async def events(self, name: str) -> tuple[Event, ...]:
        """What happened to the endpoint, oldest first."""
        return await self._store.events((await self._known(name)).id)

    # ---

    async def _known(self, name: str) -> Endpoint:
        endpoint = await self._store.endpoint(name)
        if endpoint is None:
            raise NotFound(f"There is no endpoint '{name[:80]}'.")
        return endpoint

    async def _accept(self, request: ConfigRequest, current: Endpoint | None) -> EndpointConfig:
        """The configuration that a request means, with every model resolved to an exact version."""
        entities = request.served_entities
        if entities is None:
            serving = (current.active or current.latest_config) if current else None
            if serving is None or request.routes is None:
                raise InvalidParameter("served_entities is missing: name at least one model to serve.")
            entities = serving.served_entities
        routes = default_routes(entities) if request.routes is None else request.routes
        config = EndpointConfig(current.next_version if current else 1, entities, routes)
        check_config(config)
        resolved: dict[ModelRef, ModelVersion] = {}
        for entity in entities:
            if entity.resolved == UNRESOLVED and entity.model not in resolved:
                resolved[entity.model] = await self._registry.resolve(entity.model)
        exact = tuple(
            replace(entity, resolved=resolved[entity.model]) if entity.resolved == UNRESOLVED else entity
            for entity in entities
        )
        return replace(config, served_entities=exact)

    async def _change(self, name: str, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
        """Write what `change` makes of the endpoint, tried again when somebody else wrote in between."""
        for _ in range(_ATTEMPTS):
            changed = change(await self._known(name))
            try:
                return await self._store.save_endpoint(changed)
            except Conflict:
                continue
        raise Conflict(f"Endpoint '{name}' is being changed by others; try again.")

    async def _changed(self, endpoint: Endpoint, kind: str, message: str) -> EndpointView:
        self._reconciler.nudge()
        await self._tell(endpoint, kind, message)
        return self._view(endpoint)

    async def _tell(self, endpoint: Endpoint, kind: str, message: str) -> None:
        try:
            await self._store.add_event(Event(endpoint.id, self._clock.now(), kind, message))
        except TidegateError as error:  # the change itself is durable, so the verb has not failed
            logger.warning("an event was lost: %s", error.message, extra=fields(kind=kind))

    def _view(self, endpoint: Endpoint) -> EndpointView:
        return EndpointView(endpoint, self._reconciler.status_of(endpoint))

    @staticmethod
    def _revision(endpoint: Endpoint, served_entity: str, config_version: int | None) -> RevisionId:
        """The revision behind a served name. The newest attempt comes first: its logs are what is asked for."""
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


def _open_to_update(endpoint: Endpoint, face: Face | None) -> Endpoint:
    check_owner(endpoint, face)
    pending = endpoint.pending
    if pending is not None and pending.by != FOLLOWER and (face is None or pending.by == ROLLBACK):
        raise Conflict(f"Endpoint '{endpoint.name}' is being updated; wait until it has ended.")
    return endpoint


def _check_tags(tags: Sequence[tuple[str, str]]) -> None:
    if len(tags) > MAX_TAGS:
        raise InvalidParameter(f"An endpoint may have {MAX_TAGS} tags.")
    if any(not key or len(key) > 256 or len(value) > 1024 for key, value in tags):
        raise InvalidParameter("A tag's key must have 1 to 256 characters, and its value at most 1024.")
