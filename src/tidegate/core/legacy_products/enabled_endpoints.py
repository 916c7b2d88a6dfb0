"""Which endpoints a model has whose serving was switched on, and what is to be done about those that it has now.

Level-triggered, as the plan is: it compares what the registry says with the endpoints that there are, from whatever
state. A stage has an endpoint that follows it; another version that is to answer has one of its own, asleep while
nobody asks. Nothing that answers for a version ends before something else answers for it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tidegate.core.endpoint.endpoint import ROLLBACK, Endpoint
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.legacy_products.enablement import (
    SERVED_STAGES,
    Compute,
    Enablement,
    entity_of,
    stands_for,
    version_of,
)
from tidegate.core.rollout.following import recorded
from tidegate.core.rollout.pointers import ModelPointers, Pointer

# How long an endpoint is waited for that is to answer in another one's place, seconds: a full machine must not keep
# promotions from being followed.
BRIDGE_SECONDS = 10.0

# How long an endpoint is kept that nothing asks for any more, seconds. Who archives a version and promotes the next one
# makes two calls: what a stage has must outlast the moment between them.
GRACE_SECONDS = 10.0


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
class Miss:
    """Remember for which version a stage's endpoint failed to use what it is to use."""

    endpoint: Endpoint
    compute: Compute
    version: str


@dataclass(frozen=True, slots=True)
class End:
    """Delete an endpoint."""

    endpoint: Endpoint


Step = Begin | Give | Miss | End


@dataclass(frozen=True, slots=True)
class Alignment:
    """What is due, in the order in which to do it. The endpoints that `stay` are not to follow their stage yet.

    `unwanted` are those that nothing asks for, and since when: what the next call is to be told.
    """

    steps: tuple[Step, ...]
    stay: frozenset[str]  # ids
    unwanted: Mapping[str, float]  # ids, unix seconds


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


def align(
    enablement: Enablement,
    model: ModelPointers,
    endpoints: Sequence[Endpoint],
    now: float,
    unwanted: Mapping[str, float],
) -> Alignment:
    """What is due for a model that is as `model` says; `endpoints` are those with its face.

    `unwanted` is what the call before this one found. A clock that was put back in between is no matter.
    """
    mine = {stands_for(endpoint): endpoint for endpoint in endpoints}
    stages = {stage: model.stages[stage] for stage in SERVED_STAGES if stage in model.stages}
    sight = _Sight(
        stages,
        {one.version: one.registered_at for one in model.versions if one.ready and enablement.serves(one.stage)},
        mine,
        {stage: _heading(mine.get(stage), pointer) for stage, pointer in stages.items()},
        now,
    )
    since = {one.id: min(now, unwanted.get(one.id, now)) for key, one in mine.items() if _over(sight, key)}
    steps: tuple[Step, ...] = (*_begun(sight, enablement), *_given(sight, enablement), *_ended(sight, since))
    touched = [step.endpoint.id for step in steps if not isinstance(step, Begin)]
    held = [mine[stage].id for stage in SERVED_STAGES if stage in mine and _held(sight, stage)]
    return Alignment(steps, frozenset([*touched, *held]), since)


def _begun(sight: _Sight, enablement: Enablement) -> Iterator[Begin]:
    for stage, pointer in sight.stages.items():
        if stage not in sight.endpoints and pointer.ready:
            compute = enablement.compute(stage)
            yield Begin(entity_of(enablement.model, stage, pointer.version, compute, pointer.registered_at))
    for version in sorted(sight.needed, key=int):
        if version not in sight.endpoints:
            yield Begin(entity_of(enablement.model, version, version, registered_at=sight.wanted[version]))


def _given(sight: _Sight, enablement: Enablement) -> Iterator[Give | Miss]:
    for stage, pointer in sight.stages.items():
        endpoint, compute = sight.endpoints.get(stage), enablement.compute(stage)
        if endpoint is not None:
            step = _missed(compute, endpoint) or give(compute, endpoint) or _again(compute, endpoint, pointer)
            if step is not None:
                yield step


def _ended(sight: _Sight, since: Mapping[str, float]) -> Iterator[End]:
    for key, endpoint in sight.endpoints.items():
        over = sight.now - since.get(endpoint.id, sight.now) >= GRACE_SECONDS
        if over or (key in sight.needed and _replaced(endpoint, sight)):
            yield End(endpoint)


def _over(sight: _Sight, key: str) -> bool:
    """Whether nothing asks for an endpoint any more, nor depends on it."""
    if key in SERVED_STAGES:
        return key not in sight.stages and not sight.bridged(sight.endpoints[key])
    return key not in sight.needed


def _replaced(endpoint: Endpoint, sight: _Sight) -> bool:
    """Whether the version of an endpoint of its own is another one now, as its model was registered anew."""
    config = endpoint.active or endpoint.latest_config
    assert config is not None
    resolved = config.served_entities[0].resolved
    return recorded(endpoint, replace(resolved, registered_at=sight.wanted[resolved.version])) != resolved


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


def _missed(compute: Compute, endpoint: Endpoint) -> Miss | None:
    """What is to be remembered of a failure: whatever comes next, the endpoint forgets it."""
    if not compute.given or endpoint.failed is None or endpoint.active is None:
        return None
    failed = endpoint.failed.config.served_entities[0]
    if not compute.fits(failed) or compute.fits(endpoint.active.served_entities[0]):
        return None
    version = failed.resolved.version
    return None if version == compute.failed_for else Miss(endpoint, compute, version)


def _again(compute: Compute, endpoint: Endpoint, pointer: Pointer) -> Give | None:
    """What failed for one version is given once more when the stage has settled on another that it means.

    Where a rollback has left it on one that it does not mean, nothing is.
    """
    if not compute.failed_for or endpoint.pending is not None or endpoint.active is None:
        return None
    entity = endpoint.active.served_entities[0]
    if compute.fits(entity):
        return Give(endpoint, compute, None)
    settled = _serving(endpoint) == pointer.version != compute.failed_for
    return Give(endpoint, compute, compute.applied_to(entity)) if settled else None


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
