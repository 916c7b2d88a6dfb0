"""The endpoints of an enabled model: which ones it should have, and the steps towards that.

It compares the registry's versions with the endpoints that exist, whatever happened before. Each served stage has an
endpoint that follows it. Every other served version has an endpoint of its own, which sleeps without requests. An
endpoint that answers for a version ends only after another one answers for it.
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

# How long a promotion waits for the endpoint that takes over the old version, seconds. On a full machine that endpoint
# might never serve, and the promotion must still be followed.
BRIDGE_SECONDS = 10.0

# How long an unwanted endpoint is kept, seconds. A user who archives a version and promotes the next one makes two
# calls, and a stage's endpoint must outlast the time between them.
GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Begin:
    """Create an endpoint that serves this entity."""

    entity: ServedEntity


@dataclass(frozen=True, slots=True)
class Give:
    """Apply a compute configuration to a stage's endpoint. `entity` is None where the endpoint has it already."""

    endpoint: Endpoint
    compute: Compute
    entity: ServedEntity | None


@dataclass(frozen=True, slots=True)
class Miss:
    """Store the version for which a compute configuration failed on a stage's endpoint."""

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
    """The steps that are due, in order. Endpoints in `stay` must not follow their stage yet.

    `unwanted` are the endpoints that nothing needs, each with the time since when; the next call gets them back.
    """

    steps: tuple[Step, ...]
    stay: frozenset[str]  # ids
    unwanted: Mapping[str, float]  # ids, unix seconds


@dataclass(frozen=True)
class _ModelView:
    """One model: its stages that have a version, its served versions with their times of registration, its endpoints.

    `heading` is the version that the endpoint of a stage serves or is about to serve; None where there is none.
    """

    stages: Mapping[str, Pointer]
    wanted: Mapping[str, int]
    endpoints: Mapping[str, Endpoint]  # by stage or version
    heading: Mapping[str, str | None]
    now: float

    @cached_property
    def needed(self) -> frozenset[str]:
        """The versions that need an endpoint of their own, besides those of stages."""
        answered = {_serving(endpoint) for endpoint in self.endpoints.values()}
        settled = {self.heading[stage] for stage in self.stages if self._settled(stage)}
        coming = set(self.heading.values()) - answered
        return frozenset(self.wanted) - settled - coming

    def bridged(self, endpoint: Endpoint) -> bool:
        """Whether the version that an endpoint serves gets an endpoint of its own, which does not serve yet."""
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
    """The steps for a model with these pointers; `endpoints` are those with its face.

    `unwanted` comes from the call before. A clock that was set back in between does no harm.
    """
    mine = {stands_for(endpoint): endpoint for endpoint in endpoints}
    stages = {stage: model.stages[stage] for stage in SERVED_STAGES if stage in model.stages}
    view = _ModelView(
        stages,
        {one.version: one.registered_at for one in model.versions if one.ready and enablement.serves(one.stage)},
        mine,
        {stage: _heading(mine.get(stage), pointer) for stage, pointer in stages.items()},
        now,
    )
    since = {one.id: min(now, unwanted.get(one.id, now)) for key, one in mine.items() if _over(view, key)}
    steps: tuple[Step, ...] = (*_begun(view, enablement), *_given(view, enablement), *_ended(view, since))
    touched = [step.endpoint.id for step in steps if not isinstance(step, Begin)]
    held = [mine[stage].id for stage in SERVED_STAGES if stage in mine and _held(view, stage)]
    return Alignment(steps, frozenset([*touched, *held]), since)


def _begun(view: _ModelView, enablement: Enablement) -> Iterator[Begin]:
    for stage, pointer in view.stages.items():
        if stage not in view.endpoints and pointer.ready:
            compute = enablement.compute(stage)
            yield Begin(entity_of(enablement.model, stage, pointer.version, compute, pointer.registered_at))
    for version in sorted(view.needed, key=int):
        if version not in view.endpoints:
            yield Begin(entity_of(enablement.model, version, version, registered_at=view.wanted[version]))


def _given(view: _ModelView, enablement: Enablement) -> Iterator[Give | Miss]:
    for stage, pointer in view.stages.items():
        endpoint, compute = view.endpoints.get(stage), enablement.compute(stage)
        if endpoint is not None:
            step = _missed(compute, endpoint) or give(compute, endpoint) or _again(compute, endpoint, pointer)
            if step is not None:
                yield step


def _ended(view: _ModelView, since: Mapping[str, float]) -> Iterator[End]:
    for key, endpoint in view.endpoints.items():
        over = view.now - since.get(endpoint.id, view.now) >= GRACE_SECONDS
        if over or (key in view.needed and _replaced(endpoint, view)):
            yield End(endpoint)


def _over(view: _ModelView, key: str) -> bool:
    """Whether an endpoint is no longer needed."""
    if key in SERVED_STAGES:
        return key not in view.stages and not view.bridged(view.endpoints[key])
    return key not in view.needed


def _replaced(endpoint: Endpoint, view: _ModelView) -> bool:
    """Whether a version's number belongs to another version by now, as its model was registered anew."""
    config = endpoint.active or endpoint.latest_config
    assert config is not None
    resolved = config.served_entities[0].resolved
    return recorded(endpoint, replace(resolved, registered_at=view.wanted[resolved.version])) != resolved


def _held(view: _ModelView, stage: str) -> bool:
    """Whether a stage's endpoint must still serve its version, or is about to end."""
    endpoint = view.endpoints[stage]
    if stage not in view.stages:
        return True
    return view.heading[stage] != _serving(endpoint) and view.bridged(endpoint)


def give(compute: Compute, endpoint: Endpoint) -> Give | None:
    """The step that applies a compute configuration. A pending promotion or rollback goes first."""
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
    """The step that stores a failure, which the endpoint loses at its next update."""
    if not compute.given or endpoint.failed is None or endpoint.active is None:
        return None
    failed = endpoint.failed.config.served_entities[0]
    if not compute.fits(failed) or compute.fits(endpoint.active.served_entities[0]):
        return None
    version = failed.resolved.version
    return None if version == compute.failed_for else Miss(endpoint, compute, version)


def _again(compute: Compute, endpoint: Endpoint, pointer: Pointer) -> Give | None:
    """The step that applies a failed compute configuration once more, after the stage has moved to another version.

    There is none where a rollback has left the endpoint on a version that the stage does not point to.
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
    """The failed and rejected versions, which the stage does not bring back before it has moved."""
    failed = [version_of(endpoint.failed.config)] if endpoint.failed else []
    return [*failed, *(version.version for _, version in endpoint.rejected)]


def _serving(endpoint: Endpoint) -> str | None:
    return None if endpoint.active is None else version_of(endpoint.active)
