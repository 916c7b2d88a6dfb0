"""Makes, changes and ends the endpoints of enabled models, so that each served version and stage has one.

The follower calls it in each of its looks, before endpoints follow their stages. Both work on one answer of the
registry.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from tidegate.control.endpoints.endpoint_requests import ConfigRequest, EndpointRequest
from tidegate.control.endpoints.endpoint_verbs import Endpoints
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.legacy_face import Face
from tidegate.core.errors import AlreadyExists, Conflict, NotFound, TidegateError
from tidegate.core.legacy_products.enabled_endpoints import GRACE_SECONDS, Begin, End, Give, Miss, Step, align, give
from tidegate.core.legacy_products.enablement import Compute, Enablement, endpoint_name, stands_for
from tidegate.core.rollout.following import Pointers
from tidegate.core.rollout.pointers import ModelPointers
from tidegate.ports import Clock, Store
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# Pauses, seconds: while one endpoint is about to take another's place; and while any endpoint is being updated. An
# endpoint that is unwanted is looked at again when its grace is over.
_AGAIN, _BUSY = 0.1, 2.0
_ATTEMPTS = 10  # how often a write is tried while others write the same


@dataclass(frozen=True, slots=True)
class Aligned:
    """What the follower has to know of an alignment."""

    pause: float | None  # seconds until the next look is due; None where there is no hurry
    stay: frozenset[str]  # ids of the endpoints that must not follow their stage in this look


class ModelAlignment:
    """Carries out the steps of `core.legacy_products.enabled_endpoints`.

    The times since when endpoints are unwanted are in memory only: after a restart of control, each has its whole grace
    again.
    """

    def __init__(self, store: Store, endpoints: Endpoints, clock: Clock) -> None:
        self._store, self._endpoints, self._clock = store, endpoints, clock
        self._unwanted: dict[Face, Mapping[str, float]] = {}
        self._writing = asyncio.Lock()  # two alignments at once would make two endpoints for one stage

    async def models(self, endpoints: Sequence[Endpoint]) -> frozenset[str]:
        """The enabled models. Ends those of `endpoints` that belong to a model which is no longer enabled."""
        enabled = await self._store.enablements()
        faces = {enablement.face for enablement in enabled}
        self._unwanted = {face: unwanted for face, unwanted in self._unwanted.items() if face in faces}
        for endpoint in endpoints:
            if endpoint.face is not None and endpoint.face not in faces and endpoint.deleted_at is None:
                await self._end(endpoint)
        return frozenset(enablement.model for enablement in enabled)

    async def align(self, models: Collection[str], pointers: Pointers) -> Aligned:
        """Give these models the endpoints that `pointers` ask for. A model that was disabled meanwhile gets none."""
        async with self._writing:
            return await self._align_all(lambda one: one.model in models, pointers)

    async def begin(self, face: Face, pointers: Pointers) -> frozenset[str]:
        """Give a model that was just enabled its endpoints; returns their names."""
        async with self._writing:
            await self._align_all(lambda one: one.face == face, pointers)
            return frozenset(endpoint.name for endpoint in await self._faced() if endpoint.face == face)

    async def end(self, face: Face) -> None:
        """End all endpoints of this product and model."""
        async with self._writing:
            for endpoint in await self._faced():
                if endpoint.face == face:
                    await self._end(endpoint)

    async def give(self, enablement: Enablement, stage: str) -> None:
        """Give a stage's endpoint the compute that was asked for, unless it has no endpoint or other steps go first."""
        async with self._writing:
            mine = [one for one in await self._faced() if one.face == enablement.face and stands_for(one) == stage]
            for endpoint in mine:
                step = give(enablement.compute(stage), endpoint)
                if step is not None:
                    await self._do(enablement, step, frozenset())

    # ---

    async def _faced(self) -> list[Endpoint]:
        return [one for one in await self._store.endpoints() if one.face is not None and one.deleted_at is None]

    async def _align_all(self, chosen: Callable[[Enablement], bool], pointers: Pointers) -> Aligned:
        pauses: list[float] = []
        stay: set[str] = set()
        enabled = [one for one in await self._store.enablements() if chosen(one)]
        endpoints = await self._faced() if enabled else []
        for enablement in enabled:
            mine = [endpoint for endpoint in endpoints if endpoint.face == enablement.face]
            model = pointers.get(enablement.model, ModelPointers())
            try:
                aligned = await self._align(enablement, model, mine, {endpoint.name for endpoint in endpoints})
            except TidegateError as error:
                logger.warning(
                    "a model's endpoints cannot be aligned: %s", error.message, extra=fields(model=enablement.model)
                )
                aligned = Aligned(_BUSY, frozenset(endpoint.id for endpoint in mine))
            stay |= aligned.stay
            pauses += [] if aligned.pause is None else [aligned.pause]
        return Aligned(min(pauses, default=None), frozenset(stay))

    async def _align(
        self, enablement: Enablement, model: ModelPointers, mine: Sequence[Endpoint], taken: Collection[str]
    ) -> Aligned:
        now, face = self._clock.now(), enablement.face
        due = align(enablement, model, mine, now, self._unwanted.get(face, {}))
        self._unwanted[face] = due.unwanted
        for step in due.steps:
            await self._do(enablement, step, taken)
        pauses = [max(_AGAIN, since + GRACE_SECONDS - now) for since in due.unwanted.values()]
        pauses += [_AGAIN] if due.steps or due.stay - due.unwanted.keys() else []
        pauses += [_BUSY] if any(endpoint.pending is not None for endpoint in mine) else []
        return Aligned(min(pauses, default=None), due.stay)

    async def _do(self, enablement: Enablement, step: Step, taken: Collection[str]) -> None:
        match step:
            case Begin():
                await self._begin(enablement, step, taken)
            case Give(endpoint, compute, entity):
                if entity is not None:
                    request = ConfigRequest((entity,))
                    await self._endpoints.update_config(endpoint.name, request, enablement.creator, enablement.face)
                await self._note_given(enablement, compute)
            case Miss(_, compute, version):
                await self._note_given(enablement, compute, version)
            case End(endpoint):
                await self._end(endpoint)

    async def _begin(self, enablement: Enablement, step: Begin, taken: Collection[str]) -> None:
        names = set(taken)
        while True:
            name = endpoint_name(enablement.face, step.entity.model.version, names)
            request = EndpointRequest(name, ConfigRequest((step.entity,)), enablement.creator, face=enablement.face)
            try:
                await self._endpoints.create(request)
            except AlreadyExists:
                names.add(name)
            else:
                return

    async def _end(self, endpoint: Endpoint) -> None:
        try:
            await self._endpoints.delete(endpoint.name, endpoint.face)
        except NotFound:  # ended by somebody else meanwhile
            return

    async def _note_given(self, enablement: Enablement, compute: Compute, failed_for: str = "") -> None:
        for _ in range(_ATTEMPTS):
            current = [one for one in await self._store.enablements() if one.face == enablement.face]
            if not current or compute not in current[0].computes:
                return
            try:
                await self._store.save_enablement(current[0].with_given(compute, failed_for))
            except Conflict:
                continue
            return
