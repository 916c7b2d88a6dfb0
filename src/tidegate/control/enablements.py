"""The verbs over registered models whose serving is switched on: what the faces of the older products call.

They are thin: what answers are endpoints, made and ended by the alignment. A verb writes what is wanted and returns; it
waits for the registry only where a model is enabled.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tidegate.control.alignment import Alignment
from tidegate.control.endpoints import ConfigRequest, Endpoints
from tidegate.control.gateways import Gateways
from tidegate.control.minutes import Minutes
from tidegate.control.reconciler import Reconciler
from tidegate.control.views import ReplicaView
from tidegate.core.endpoint.endpoint import WORKLOAD_SIZES, Endpoint, EndpointConfig
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.endpoint.revision import ReplicaId, revision_id
from tidegate.core.errors import Conflict, InvalidParameter, NotFound, TidegateError
from tidegate.core.legacy_products.enablement import (
    PRODUCT_TITLES,
    SERVED_STAGES,
    Compute,
    Enablement,
    kept_out,
    stands_for,
    version_of,
)
from tidegate.core.legacy_products.enablement_status import (
    Seen,
    ServingState,
    VersionStatus,
    aliases,
    computes,
    model_state,
    version_statuses,
)
from tidegate.core.legacy_products.serving_history import Told, told, told_of_model
from tidegate.core.scaling.minute import MinutePoint
from tidegate.ports import Clock, ModelRegistry, Store
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

_HOUR = 3600.0
_ATTEMPTS = 10  # at a write, while others write the same
# How long gateways are waited for that are to hear of a model that was enabled, seconds.
_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class MinuteTotal:
    """How many of a model's requests succeeded and failed in a minute."""

    at: float  # unix seconds
    successes: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Sight:
    """What the verbs look at: the world as it is seen, the gateways, the minutes, and the time."""

    reconciler: Reconciler
    gateways: Gateways
    minutes: Minutes
    clock: Clock
    patience: float = _PATIENCE


@dataclass(frozen=True, slots=True)
class ServingView:
    """An enabled model, its versions that are to answer, and what its stages mean and use."""

    enablement: Enablement
    versions: tuple[VersionStatus, ...]
    aliases: tuple[tuple[str, str], ...]
    computes: tuple[Compute, ...]

    @property
    def state(self) -> tuple[ServingState, str]:
        """Of the model as a whole, with a sentence."""
        return model_state(self.versions)


class Enablements:
    """The verbs. Each raises NotFound for a model that is not enabled (of the classic product InvalidParameter, as it
    did), and Unavailable when the store is away.
    """

    def __init__(
        self,
        store: Store,
        registry: ModelRegistry,
        endpoints: Endpoints,
        alignment: Alignment,
        sight: Sight,
    ) -> None:
        self._store, self._registry, self._endpoints, self._alignment = store, registry, endpoints, alignment
        self._reconciler, self._minutes, self._clock = sight.reconciler, sight.minutes, sight.clock
        self._gateways, self._patience = sight.gateways, sight.patience

    async def enable(self, face: Face, creator: str) -> None:
        """Switch a model's serving on, with the endpoints that it has now. Where it is on already nothing changes.

        Raises NotFound where the registry has no such model, and Unavailable when it is away.
        """
        if await self._find(face) is not None:
            return
        pointers = await self._registry.pointers([face.model], [face.model])
        if face.model not in pointers:
            raise NotFound(f"The registry has no model '{face.model[:80]}'. Register it first.")
        enablement = Enablement(face.product, face.model, creator, self._clock.now())
        try:
            await self._store.save_enablement(enablement)
        except Conflict:  # enabled by somebody else meanwhile
            return
        try:
            names = await self._alignment.begin(face, pointers)
        except TidegateError as error:  # it is on record: the follower's next look goes on
            logger.warning("a model's endpoints are to come: %s", error.message, extra=fields(model=face.model))
        else:
            await self._gateways.followed(self._patience, names)
        self._endpoints.on_asked()

    async def disable(self, face: Face) -> None:
        """Switch it off: all its endpoints end."""
        await self._known(face)
        await self._store.drop_enablement(face.product, face.model)
        await self._alignment.end(face)
        self._endpoints.on_asked()  # one may have been made meanwhile

    async def get(self, face: Face) -> ServingView:
        """One enabled model."""
        return _view(await self._known(face), await self._seen(face))

    async def list(self, product: Product) -> tuple[ServingView, ...]:
        """All models that are enabled, by name."""
        enabled = [one for one in await self._store.enablements() if one.product is product]
        seen: dict[Face, list[Seen]] = {one.face: [] for one in enabled}
        for endpoint in await self._store.endpoints():
            if endpoint.face in seen and endpoint.deleted_at is None:
                seen[endpoint.face].append(self._seen_of(endpoint))
        return tuple(_view(one, seen[one.face]) for one in enabled)

    async def version(self, face: Face, version: str) -> VersionStatus:
        """A version that is to answer, by its number or its stage. Raises NotFound."""
        view = await self.get(face)
        number = dict(view.aliases).get(version.capitalize(), version)
        found = next((one for one in view.versions if one.version == number), None)
        if found is None:
            there = ", ".join(one.version for one in view.versions) or "none"
            raise NotFound(f"Version '{version[:80]}' of model '{face.model}' is not served; served are {there}.")
        return found

    async def update_compute(self, face: Face, stage: str, size: str | None, scale_to_zero: bool | None) -> None:
        """Have a stage use something else, now or when a version comes into it; what is None stays.

        Until it is ready, or for good where it fails, the stage uses what it did. Raises InvalidParameter.
        """
        stage = stage.capitalize()
        if stage not in SERVED_STAGES:
            raise InvalidParameter(f"stage must be {' or '.join(SERVED_STAGES)}.")
        if size is not None and size not in WORKLOAD_SIZES:
            raise InvalidParameter(f"workload_size_id must be one of {', '.join(WORKLOAD_SIZES)}.")

        def change(enablement: Enablement) -> Enablement:
            now = enablement.compute(stage)
            zero = now.scale_to_zero_enabled if scale_to_zero is None else scale_to_zero
            return enablement.with_compute(stage, size or now.workload_size_id, zero, self._clock.now())

        changed = await self._change(face, change)
        try:
            await self._alignment.give(changed, stage)
        except TidegateError as error:  # it is on record: the alignment tries again
            logger.warning("a stage waits for its compute: %s", error.message, extra=fields(model=face.model))
        self._endpoints.on_asked()

    async def restart(self, face: Face, version: str, by: str) -> None:
        """Try a failed update of a version, or its failed start, once more; or a version that is kept out of its stage.

        While one runs, nothing changes. Raises Conflict where nothing has failed.
        """
        found = await self.version(face, version)
        endpoints = [one.endpoint for one in await self._seen(face)]
        failed = [(one.name, config) for one in endpoints if (config := _to_try(one, version.capitalize()))]
        if not failed and found.endpoint.pending is None:
            raise Conflict(f"Nothing has failed of version {found.version} of model '{face.model}'.")
        for name, config in failed:
            await self._endpoints.update_config(name, ConfigRequest(config.served_entities), by, face)

    async def update_cluster(self, face: Face, node_type_id: str, tags: Sequence[tuple[str, str]] | None) -> None:
        """Remember what machine the classic product was to use. It changes nothing: there is one machine."""

        def change(enablement: Enablement) -> Enablement:
            kept = enablement.cluster_tags if tags is None else tuple(tags)
            return replace(enablement, node_type_id=node_type_id or enablement.node_type_id, cluster_tags=kept)

        await self._change(face, change)

    async def replicas(self, face: Face, version: str) -> tuple[ReplicaView, ...]:
        """The processes that run for a version, oldest first."""
        found = await self.version(face, version)
        mine = revision_id(found.endpoint.id, found.entity)
        return tuple(one for one in await self._endpoints.replicas(found.endpoint.name) if one.revision == mine)

    async def logs(self, face: Face, version: str, replica: str = "") -> str:
        """What a version's replicas printed last; they share a log. Raises NotFound for a replica that is not there."""
        found = await self.version(face, version)
        if replica and ReplicaId(replica) not in {one.replica.id for one in await self.replicas(face, version)}:
            raise NotFound("Unable to retrieve logs for this replica.")
        return await self._endpoints.logs(found.endpoint.name, found.entity.name, found.config.version)

    async def build_logs(self, face: Face, version: str) -> str:
        """How a version was downloaded and its environment built."""
        found = await self.version(face, version)
        return await self._endpoints.build_logs(found.endpoint.name, found.entity.name, found.config.version)

    async def points(self, face: Face, version: str, since: float | None, until: float | None) -> Sequence[MinutePoint]:
        """What happened at the endpoint that answers for a version, minute by minute; by default in the last hour."""
        found = await self.version(face, version)
        return self._minutes.points(found.endpoint.name, *self._window(since, until))

    async def totals(self, face: Face, since: float | None, until: float | None) -> tuple[MinuteTotal, ...]:
        """How many requests of a model succeeded and failed in each minute; by default in the last hour."""
        await self._known(face)
        names = [one.endpoint.name for one in await self._seen(face)]
        found = self._minutes.points_of(names, *self._window(since, until))
        points = [point for own in found for point in own]
        totals: dict[float, MinuteTotal] = {}
        for point in sorted(points, key=lambda point: point.at):
            failures = point.errors_4xx + point.errors_5xx
            before = totals.get(point.at, MinuteTotal(point.at))
            totals[point.at] = MinuteTotal(
                point.at, before.successes + point.requests - failures, before.failures + failures
            )
        return tuple(totals.values())

    async def history(self, face: Face) -> tuple[Told, ...]:
        """What happened to a model since it was enabled, oldest first, by the endpoints that there are now."""
        enablement = await self._known(face)
        found = [*told_of_model(enablement)]
        for one in await self._seen(face):
            events = [(event.at, event.kind, event.message) for event in await self._store.events(one.endpoint.id)]
            found += told(one.endpoint, events, await self._store.switches(one.endpoint.id))
        return tuple(sorted(found, key=lambda event: event.at))

    # ---

    def _window(self, since: float | None, until: float | None) -> tuple[float, float]:
        end = self._clock.now() if until is None else until
        return (end - _HOUR if since is None else since), end

    async def _find(self, face: Face) -> Enablement | None:
        return next((one for one in await self._store.enablements() if one.face == face), None)

    async def _known(self, face: Face) -> Enablement:
        found = await self._find(face)
        if found is None:
            kind = NotFound if face.product is Product.SERVERLESS else InvalidParameter
            raise kind(f"{PRODUCT_TITLES[face.product]} is not enabled for model '{face.model[:80]}'.")
        return found

    async def _seen(self, face: Face) -> tuple[Seen, ...]:
        mine = (one for one in await self._store.endpoints() if one.face == face and one.deleted_at is None)
        return tuple(map(self._seen_of, mine))

    def _seen_of(self, endpoint: Endpoint) -> Seen:
        return Seen(endpoint, self._reconciler.status_of(endpoint), self._reconciler.world.revisions)

    async def _change(self, face: Face, change: Callable[[Enablement], Enablement]) -> Enablement:
        """Write what `change` makes of it, tried again when somebody else wrote in between."""
        for _ in range(_ATTEMPTS):
            changed = change(await self._known(face))
            try:
                return await self._store.save_enablement(changed)
            except Conflict:
                continue
        raise Conflict(f"The serving of model '{face.model}' is being changed by others; try again.")


def _view(enablement: Enablement, seen: Sequence[Seen]) -> ServingView:
    return ServingView(enablement, version_statuses(enablement, seen), aliases(seen), computes(enablement, seen))


def _to_try(endpoint: Endpoint, asked: str) -> EndpointConfig | None:
    """What of an endpoint is to be tried again; asked for by its stage or version, or by the version that failed."""
    attempts = (endpoint.failed.config if endpoint.failed else None, kept_out(endpoint))
    known = (config for config in attempts if config is not None)
    return next((config for config in known if asked in (stands_for(endpoint), version_of(config))), None)
