"""The registry's models as people look through them, each with the endpoints that serve it."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from tidegate.control.reconcile.world import World
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.legacy_face import Face
from tidegate.core.endpoint.registered_model import ModelDetails, ModelSignature, RegisteredModel
from tidegate.core.endpoint.served_entity import ModelVersion
from tidegate.core.errors import NotFound, TidegateError
from tidegate.ports import Clock, ModelRegistry

# How long an answer of the registry is told again, seconds: a page and its parts ask for the same at once.
KEPT_SECONDS = 2.0
# A signature never changes. The last ones are kept, as each takes a file of the registry's store.
_SIGNATURES = 256


@dataclass(frozen=True, slots=True)
class Serving:
    """An endpoint that serves a version of a model, or is about to.

    `reference` is what its owner asked for: a number, `@alias` or a stage. `active` is whether it serves.
    """

    endpoint: str
    version: str
    reference: str
    active: bool
    face: Face | None = None


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A registered model, and the endpoints that serve it."""

    model: RegisteredModel
    served_by: tuple[Serving, ...] = ()


@dataclass(frozen=True, slots=True)
class CatalogDetails:
    """A registered model with its versions, and the endpoints that serve them."""

    details: ModelDetails
    served_by: tuple[Serving, ...] = ()


T = TypeVar("T")


class _Kept(Generic[T]):
    """The newest answer to one question, be it an error. Those who ask at once wait for the same answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._turn = clock, asyncio.Lock()
        self._answer: T | None = None
        self._error: TidegateError | None = None
        self._at = -math.inf  # monotonic seconds

    @property
    def over(self) -> bool:
        """Whether the answer is too old to be told again, and nobody waits for another."""
        return self._clock.monotonic() - self._at >= KEPT_SECONDS and not self._turn.locked()

    async def get(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, asked for where the last one is too old."""
        async with self._turn:
            if self._clock.monotonic() - self._at >= KEPT_SECONDS:
                self._answer = self._error = None
                try:
                    self._answer = await ask()
                except TidegateError as error:
                    self._error = error
                self._at = self._clock.monotonic()
            if self._error is not None:
                raise self._error.with_traceback(None)
            assert self._answer is not None
            return self._answer


class ModelCatalog:
    """Reads the registry. Each verb raises what the registry raises, such as Unavailable."""

    def __init__(self, registry: ModelRegistry, clock: Clock, world: World, address: str = "") -> None:
        self.address = address  # the registry's URI as people may see it; empty for the embedded one
        self._registry, self._clock, self._world = registry, clock, world
        self._list: _Kept[tuple[RegisteredModel, ...]] = _Kept(clock)
        self._details: dict[str, _Kept[ModelDetails]] = {}
        self._signatures: dict[tuple[str, str, int], ModelSignature] = {}

    async def models(self) -> tuple[CatalogModel, ...]:
        """All models by name, at most MAX_MODELS."""
        found = await self._list.get(self._registry.list_models)
        served = served_models(self._world.snapshot.endpoints)
        return tuple(CatalogModel(model, served.get(model.name, ())) for model in found)

    async def describe(self, name: str) -> CatalogDetails:
        """One model with its versions. Raises NotFound."""
        self._details = {key: kept for key, kept in self._details.items() if key == name or not kept.over}
        kept = self._details.setdefault(name, _Kept(self._clock))
        details = await kept.get(lambda: self._registry.describe(name))
        return CatalogDetails(details, served_models(self._world.snapshot.endpoints).get(name, ()))

    async def signature(self, name: str, version: str) -> ModelSignature:
        """The signature of a version. Raises NotFound, and what `ModelRegistry.signature` raises."""
        versions = (await self.describe(name)).details.versions
        found = next((one for one in versions if one.version == version), None)
        if found is None:
            raise NotFound(f"Model '{name[:80]}' has no version '{version[:80]}'.")
        key = name, version, found.registered_at
        if key not in self._signatures:
            told = await self._registry.signature(ModelVersion(*key))
            while len(self._signatures) >= _SIGNATURES:
                del self._signatures[next(iter(self._signatures))]
            self._signatures[key] = told
        return self._signatures[key]


def served_models(endpoints: Iterable[Endpoint]) -> Mapping[str, tuple[Serving, ...]]:
    """Model → the endpoints that serve it or are about to, by name."""
    found: dict[str, dict[tuple[str, str, bool], Serving]] = {}
    for endpoint in endpoints:
        if endpoint.deleted_at is not None:
            continue
        pending = endpoint.pending.config if endpoint.pending else None
        failed = endpoint.failed.config if endpoint.failed and endpoint.active is None else None
        for config in (endpoint.active, pending, failed):
            for entity in config.served_entities if config else ():
                version, active = entity.resolved.version, config is endpoint.active
                mine = found.setdefault(entity.resolved.name, {})
                if (endpoint.name, version, True) not in mine:
                    serving = Serving(endpoint.name, version, entity.model.version, active, endpoint.face)
                    mine[endpoint.name, version, active] = serving
    return {name: tuple(mine[key] for key in sorted(mine)) for name, mine in found.items()}
