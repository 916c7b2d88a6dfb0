"""The verbs over endpoints: what the REST API, the command line and the alignment of enabled models call.

A verb writes what is asked for, wakes the reconciler and returns at once. It never waits for a build or a replica.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tidegate.control.endpoints.config_resolution import resolve_config
from tidegate.control.endpoints.endpoint_queries import EndpointQueries
from tidegate.control.endpoints.endpoint_requests import ConfigRequest, EndpointRequest, check_tags
from tidegate.control.endpoints.endpoint_views import EndpointView, GateView
from tidegate.control.reconcile.endpoint_history import EndpointHistory
from tidegate.control.reconcile.world import World
from tidegate.control.wakeups import Wakeups
from tidegate.core.endpoint.endpoint import FOLLOWER, ROLLBACK, Endpoint, PendingConfig
from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.endpoint.legacy_face import Face
from tidegate.core.endpoint.validation import check_name
from tidegate.core.errors import AlreadyExists, Conflict
from tidegate.core.legacy_products.enablement import check_owner, kept_out, refusing_what_failed
from tidegate.core.rollout.following import Pointers, follow
from tidegate.core.rollout.switch import side_of
from tidegate.data_directory import DataDirectory
from tidegate.ports import Clock, ModelRegistry, Store
from tidegate.settings import RolloutSettings

# How often a change that is safe to repeat is tried when somebody else writes the same endpoint at the same time.
_ATTEMPTS = 10


class Endpoints(EndpointQueries):
    """The verbs that write. Each raises NotFound for an endpoint that is not there, and Unavailable without a store."""

    def __init__(
        self,
        store: Store,
        registry: ModelRegistry,
        clock: Clock,
        data: DataDirectory,
        world: World,
        wakeups: Wakeups,
        rollouts: RolloutSettings,
    ) -> None:
        super().__init__(store, clock, data, world, rollouts)
        self._registry, self._wakeups = registry, wakeups
        self._history = EndpointHistory(store, clock)

    async def create(self, request: EndpointRequest) -> EndpointView:
        """Add an endpoint, and begin with its first configuration.

        Raises InvalidParameter, AlreadyExists, NotFound when a model version is not there, Conflict when one is not
        ready, and Unavailable when the registry is away.
        """
        check_name(request.name)
        check_tags(request.tags)
        if await self._store.endpoint(request.name) is not None:
            raise AlreadyExists(f"There is an endpoint '{request.name}' already. Update it, or choose another name.")
        config, now = await resolve_config(request.config, None, self._registry), self._clock.now()
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
        self._wakeups.ask_registry()
        return await self._changed(created, "created", f"Endpoint '{request.name}' was created.")

    async def update_config(
        self, name: str, request: ConfigRequest, by: str = "", face: Face | None = None
    ) -> EndpointView:
        """Begin an update. The present configuration serves until the new one is ready, and goes on if that fails.

        `by` is who asks, and `face` the product and model that the update is part of. An update takes the place of one
        that a moved alias or stage has begun; an update of the product itself takes the place of any. Raises as
        `create` does, and Conflict while another update runs, or where the endpoint is another product's.
        """
        current = _open_to_update(await self._known(name), face)
        config = await resolve_config(request, current, self._registry)

        def update(endpoint: Endpoint) -> Endpoint:
            version, now = _open_to_update(endpoint, face).next_version, self._clock.now()
            updated = endpoint.with_update(replace(config, version=version), now, by, forced=request.forced)
            return refusing_what_failed(endpoint, updated) if face is not None else updated

        updated = await self._change(name, update)
        assert updated.pending is not None
        self._wakeups.ask_registry()
        message = f"{side_of(updated.pending.config)} is being prepared."
        return await self._changed(updated, "update_started", message)

    async def follow(self, endpoint: Endpoint, pointers: Pointers) -> Endpoint:
        """Have an endpoint serve the versions that its aliases and stages mean.

        `endpoint` must have been read before the registry was asked for `pointers`. Raises Conflict when somebody has
        written the endpoint since: the pointers may be older than that.
        """
        followed = follow(endpoint, pointers, self._clock.now())
        if followed is None:
            return endpoint
        saved = await self._store.save_endpoint(followed.endpoint)
        self._wakeups.changed()
        for kind, message in followed.news:
            await self._history.tell(saved.id, kind, message)
        return saved

    async def rollback(self, name: str) -> EndpointView:
        """Have the previous configuration serve again, at the next pass. An update that runs is dropped instead.

        While a rollback runs, nothing changes. Raises Conflict when there is no previous configuration.
        """
        before = await self._known(name)
        if before.pending is not None and before.pending.by == ROLLBACK:
            return self._view(before)
        changed = await self._change(name, lambda endpoint: endpoint.rolled_back(self._clock.now()))
        self._wakeups.ask_registry()
        if changed.pending is not None:
            message = f"Rolling back to configuration {changed.pending.config.version}."
            return await self._changed(changed, "rollback_started", message)
        assert changed.active is not None
        message = f"The update was taken back before it served; configuration {changed.active.version} goes on."
        return await self._changed(changed, "update_dropped", message)

    async def force(self, name: str, by: str = "") -> EndpointView:
        """Have the configuration serve that the gate held back, or that is kept out of an enabled model's stage.

        Raises Conflict when there is none.
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
        self._wakeups.ask_registry()
        message = f"{side_of(forced.pending.config)} is being prepared. The gate is skipped."
        return await self._changed(forced, "update_started", message)

    async def set_gate(self, name: str, policy: GatePolicy) -> GateView:
        """Change the endpoint's gate policy, from the next update on."""
        await self._change(name, lambda endpoint: replace(endpoint, gate=policy, updated_at=self._clock.now()))
        self._wakeups.changed()
        return await self.gate(name)

    async def delete(self, name: str, face: Face | None = None) -> None:
        """Delete the endpoint, with an update that runs. Its replicas drain; its name is free at once.

        Raises Conflict where the endpoint is a product's, and `face` is not that product and model.
        """

        def delete(endpoint: Endpoint) -> Endpoint:
            check_owner(endpoint, face)
            return replace(endpoint, deleted_at=self._clock.now(), generation=endpoint.generation + 1)

        await self._changed(await self._change(name, delete), "deleted", f"Endpoint '{name}' was deleted.")

    async def patch_tags(self, name: str, add: Mapping[str, str], delete: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """Set and remove tags; returns the endpoint's tags after that. Raises InvalidParameter."""

        def patch(endpoint: Endpoint) -> Endpoint:
            kept = {key: value for key, value in endpoint.tags if key not in delete}
            tags = tuple({**kept, **add}.items())
            check_tags(tags)
            return replace(endpoint, tags=tags, updated_at=self._clock.now())

        patched = await self._change(name, patch)
        self._wakeups.changed()
        return patched.tags

    # ---

    async def _change(self, name: str, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
        """Write what `change` makes of the endpoint; again when somebody else wrote it in between. Raises Conflict."""
        for _ in range(_ATTEMPTS):
            changed = change(await self._known(name))
            try:
                return await self._store.save_endpoint(changed)
            except Conflict:
                continue
        raise Conflict(f"Endpoint '{name}' is being changed by others; try again.")

    async def _changed(self, endpoint: Endpoint, kind: str, message: str) -> EndpointView:
        self._wakeups.changed()
        await self._history.tell(endpoint.id, kind, message)
        return self._view(endpoint)


def _open_to_update(endpoint: Endpoint, face: Face | None) -> Endpoint:
    check_owner(endpoint, face)
    pending = endpoint.pending
    if pending is not None and pending.by != FOLLOWER and (face is None or pending.by == ROLLBACK):
        raise Conflict(f"Endpoint '{endpoint.name}' is being updated. Wait until the update has ended.")
    return endpoint
