"""The verbs over enabled models that only read: which versions of a model serve, and how.

An enabled model is a registered model whose serving is switched on in an older product. Its versions and stages are
served by endpoints, which the model's alignment makes and ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.control.endpoints.endpoint_queries import EndpointQueries
from tidegate.control.endpoints.endpoint_views import ReplicaView
from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.reconcile.world import World
from tidegate.control.reporting.minute_history import MinuteHistory
from tidegate.control.wakeups import Wakeups
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.endpoint.revision import ReplicaId, revision_id
from tidegate.core.errors import InvalidParameter, NotFound
from tidegate.core.legacy_products.enablement import PRODUCT_TITLES, Compute, Enablement
from tidegate.core.legacy_products.enablement_status import (
    Seen,
    ServingState,
    VersionStatus,
    aliases,
    computes,
    model_state,
    version_statuses,
)
from tidegate.core.legacy_products.serving_history import HistoryEvent, endpoint_history, model_history
from tidegate.core.scaling.minute import MinutePoint
from tidegate.ports import Clock, Store

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class MinuteTotal:
    """The requests of a model that succeeded and failed in one minute."""

    at: float  # unix seconds
    successes: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class EnabledModelContext:
    """The parts of control that the verbs over enabled models read, and wake."""

    world: World
    gateways: Gateways
    minutes: MinuteHistory
    clock: Clock
    wakeups: Wakeups
    patience: float  # seconds that a verb which enables a model waits for gateways


@dataclass(frozen=True, slots=True)
class ServingView:
    """An enabled model, its served versions, and the version and compute of each stage."""

    enablement: Enablement
    versions: tuple[VersionStatus, ...]
    aliases: tuple[tuple[str, str], ...]
    computes: tuple[Compute, ...]

    @property
    def state(self) -> tuple[ServingState, str]:
        """The state of the model as a whole, and a sentence about it."""
        return model_state(self.versions)


class EnabledModelQueries:
    """Each verb raises NotFound for a model that is not enabled, and Unavailable when the store is away.

    In the classic product it is InvalidParameter instead of NotFound, as in the original.
    """

    def __init__(self, store: Store, endpoints: EndpointQueries, context: EnabledModelContext) -> None:
        self._store, self._clock = store, context.clock
        self._world, self._minutes = context.world, context.minutes
        self._queries = endpoints

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
        """A served version, by its number or its stage. Raises NotFound."""
        view = await self.get(face)
        number = dict(view.aliases).get(version.capitalize(), version)
        found = next((one for one in view.versions if one.version == number), None)
        if found is None:
            there = ", ".join(one.version for one in view.versions) or "none"
            raise NotFound(f"Version '{version[:80]}' of model '{face.model}' is not served; served are {there}.")
        return found

    async def replicas(self, face: Face, version: str) -> tuple[ReplicaView, ...]:
        """The processes of a version, oldest first."""
        found = await self.version(face, version)
        mine = revision_id(found.endpoint.id, found.entity)
        return tuple(one for one in await self._queries.replicas(found.endpoint.name) if one.revision == mine)

    async def logs(self, face: Face, version: str, replica: str = "") -> str:
        """The last lines of the log that a version's replicas share. Raises NotFound for an unknown replica."""
        found = await self.version(face, version)
        if replica and ReplicaId(replica) not in {one.replica.id for one in await self.replicas(face, version)}:
            raise NotFound("Unable to retrieve logs for this replica.")
        return await self._queries.logs(found.endpoint.name, found.entity.name, found.config.version)

    async def build_logs(self, face: Face, version: str) -> str:
        """The log of a version's download and of its environment's build."""
        found = await self.version(face, version)
        return await self._queries.build_logs(found.endpoint.name, found.entity.name, found.config.version)

    async def points(self, face: Face, version: str, since: float | None, until: float | None) -> Sequence[MinutePoint]:
        """The minutes of the endpoint that serves a version, from `since` to `until`; by default the last hour."""
        found = await self.version(face, version)
        return await self._minutes.points(found.endpoint.name, *self._window(since, until))

    async def totals(self, face: Face, since: float | None, until: float | None) -> tuple[MinuteTotal, ...]:
        """The successful and failed requests of a model in each minute; by default of the last hour."""
        await self._known(face)
        names = [one.endpoint.name for one in await self._seen(face)]
        found = await self._minutes.points_of(names, *self._window(since, until))
        points = [point for own in found for point in own]
        totals: dict[float, MinuteTotal] = {}
        for point in sorted(points, key=lambda point: point.at):
            failures = point.errors_4xx + point.errors_5xx
            before = totals.get(point.at, MinuteTotal(point.at))
            totals[point.at] = MinuteTotal(
                point.at, before.successes + point.requests - failures, before.failures + failures
            )
        return tuple(totals.values())

    async def history(self, face: Face) -> tuple[HistoryEvent, ...]:
        """The history of a model and of its present endpoints since it was enabled, oldest first."""
        enablement = await self._known(face)
        found = [*model_history(enablement)]
        for one in await self._seen(face):
            events = [(event.at, event.kind, event.message) for event in await self._store.events(one.endpoint.id)]
            found += endpoint_history(one.endpoint, events, await self._store.switches(one.endpoint.id))
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
        return Seen(endpoint, self._world.status_of(endpoint), self._world.snapshot.revisions)


def _view(enablement: Enablement, seen: Sequence[Seen]) -> ServingView:
    return ServingView(enablement, version_statuses(enablement, seen), aliases(seen), computes(enablement, seen))
