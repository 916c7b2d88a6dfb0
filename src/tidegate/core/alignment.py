"""Which endpoints a model has whose serving was switched on, and what is to be done about those that it has now.

Level-triggered, as the plan is: it compares what the registry says with the endpoints that there are, from whatever
state. A stage has an endpoint that follows it; another version that is to answer has one of its own, asleep while
nobody asks. Nothing that answers for a version ends before something else answers for it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tidegate.core.enablement import SERVED_STAGES, Compute, Enablement, entity_of, stands_for, version_of
from tidegate.core.endpoint import ROLLBACK, Endpoint, ServedEntity
from tidegate.core.following import recorded
from tidegate.core.pointers import ModelPointers, Pointer

# How long an endpoint is waited for that is to answer in another one's place, seconds: a full machine must not keep
# promotions from being followed.
BRIDGE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Begin:
    """Make an endpoint that serves this."""

    entity: ServedEntity


@dataclass(frozen=True, slots=True)
class Give:
    """Have a stage's endpoint use what it is to use; no `entity` where it does so already."""

    endpoint: Endpoint
    compute: Compute
    entity: ServedEntity | None


@dataclass(frozen=True, slots=True)
class End:
    """Delete an endpoint."""

    endpoint: Endpoint


Step = Begin | Give | End


@dataclass(frozen=True, slots=True)
class Alignment:
    """What is due, in the order in which to do it. The endpoints that `stay` are not to follow their stage yet."""

    steps: tuple[Step, ...]
    stay: frozenset[str]  # ids


@dataclass(frozen=True)
class _Sight:
    """What is to be seen of one model: its non-empty stages, the versions that are to answer with the times of their
    registration, and its endpoints.

    `heading` is the version that the endpoint of a stage serves, or is about to; None while there is none.
    """

    stages: Mapping[str, Pointer]
    wanted: Mapping[str, int]
    endpoints: Mapping[str, Endpoint]  # by stage or version
    heading: Mapping[str, str | None]
    now: float

    @cached_property
    def needed(self) -> frozenset[str]:
        """The versions that need an endpoint of their own."""
        answered = {_serving(endpoint) for endpoint in self.endpoints.values()}
        settled = {self.heading[stage] for stage in self.stages if self._settled(stage)}
        coming = set(self.heading.values()) - answered
        return frozenset(self.wanted) - settled - coming

    def bridged(self, endpoint: Endpoint) -> bool:
        """Whether what it answers for is about to have an endpoint of its own, which does not answer yet."""
        version = _serving(endpoint)
        if version is None or version not in self.needed:
            return False
        bridge = self.endpoints.get(version)
        if bridge is None:
            return True
        young = self.now - bridge.created_at < BRIDGE_SECONDS
        return bridge.active is None and bridge.failed is None and young

    def _settled(self, stage: str) -> bool:
        endpoint = self.endpoints.get(stage)
        if endpoint is None or endpoint.active is None:
            return False
        pending = endpoint.pending.config if endpoint.pending else endpoint.active
        return self.heading[stage] == version_of(endpoint.active) == version_of(pending)


def align(enablement: Enablement, model: ModelPointers, endpoints: Sequence[Endpoint], now: float) -> Alignment:
    """What is due for a model that is as `model` says; `endpoints` are those with its face."""
    mine = {stands_for(endpoint): endpoint for endpoint in endpoints}
    stages = {stage: model.stages[stage] for stage in SERVED_STAGES if stage in model.stages}
    sight = _Sight(
        stages,
        {one.version: one.registered_at for one in model.versions if one.ready and enablement.serves(one.stage)},
        mine,
        {stage: _heading(mine.get(stage), pointer) for stage, pointer in stages.items()},
        now,
    )
    steps: tuple[Step, ...] = (*_begun(sight, enablement), *_given(sight, enablement), *_ended(sight))
    touched = [step.endpoint.id for step in steps if not isinstance(step, Begin)]
    held = [mine[stage].id for stage in SERVED_STAGES if stage in mine and _held(sight, stage)]
    return Alignment(steps, frozenset([*touched, *held]))


def _begun(sight: _Sight, enablement: Enablement) -> Iterator[Begin]:
    for stage, pointer in sight.stages.items():
        if stage not in sight.endpoints and pointer.ready:
            compute = enablement.compute(stage)
            yield Begin(entity_of(enablement.model, stage, pointer.version, compute, pointer.registered_at))
    for version in sorted(sight.needed, key=int):
        if version not in sight.endpoints:
            yield Begin(entity_of(enablement.model, version, version, registered_at=sight.wanted[version]))


def _given(sight: _Sight, enablement: Enablement) -> Iterator[Give]:
    for stage in sight.stages:
        endpoint = sight.endpoints.get(stage)
        if endpoint is not None and (step := give(enablement.compute(stage), endpoint)) is not None:
            yield step


def _ended(sight: _Sight) -> Iterator[End]:
    for key, endpoint in sight.endpoints.items():
        if key in SERVED_STAGES:
            over = key not in sight.stages and not sight.bridged(endpoint)
        else:
            over = key not in sight.needed or _replaced(endpoint, sight.wanted[key])
        if over:
            yield End(endpoint)


def _replaced(endpoint: Endpoint, registered_at: int) -> bool:
    """Whether the version of an endpoint of its own is another one now, as its model was registered anew."""
    config = endpoint.active or endpoint.latest_config
    assert config is not None
    version = replace(config.served_entities[0].resolved, registered_at=registered_at)
    return recorded(endpoint, version) != config.served_entities[0].resolved


def _held(sight: _Sight, stage: str) -> bool:
    """Whether a stage's endpoint may not leave yet what it serves, or is about to end."""
    endpoint = sight.endpoints[stage]
    if stage not in sight.stages:
        return True
    return sight.heading[stage] != _serving(endpoint) and sight.bridged(endpoint)


def give(compute: Compute, endpoint: Endpoint) -> Give | None:
    """What is due for a stage's endpoint to use what it is to use. A promotion or a rollback on its way goes first."""
    pending, active = endpoint.pending, endpoint.active
    if compute.given or (pending is not None and pending.by == ROLLBACK):
        return None
    config = pending.config if pending else active or endpoint.latest_config
    assert config is not None
    entity = config.served_entities[0]
    failed = endpoint.failed.config.served_entities[0] if endpoint.failed else None
    if compute.fits(entity) and (failed is None or (active is not None and compute.fits(failed))):
        return Give(endpoint, compute, None)
    if pending is not None and active is not None and _same_compute(entity, active.served_entities[0]):
        return None
    return Give(endpoint, compute, compute.applied_to(entity))


def _same_compute(one: ServedEntity, other: ServedEntity) -> bool:
    return Compute("", one.workload_size, one.scale_to_zero_enabled).fits(other)


def _heading(endpoint: Endpoint | None, pointer: Pointer) -> str | None:
    if endpoint is None:
        return pointer.version if pointer.ready else None
    if endpoint.pending is not None and endpoint.pending.by == ROLLBACK:
        return version_of(endpoint.pending.config)
    if pointer.ready and pointer.version not in _given_up(endpoint):
        return pointer.version
    config = endpoint.active or endpoint.latest_config
    return None if config is None else version_of(config)


def _given_up(endpoint: Endpoint) -> Collection[str]:
    """The versions that its stage does not put on again as long as it means them."""
    failed = [version_of(endpoint.failed.config)] if endpoint.failed else []
    return [*failed, *(version.version for _, version in endpoint.rejected)]


def _serving(endpoint: Endpoint) -> str | None:
    return None if endpoint.active is None else version_of(endpoint.active)
