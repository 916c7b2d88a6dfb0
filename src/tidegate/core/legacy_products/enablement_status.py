"""The states that the older products show. They are computed from endpoints and revisions, and never stored.

Each product writes them with its own prefix: `SERVICE_STATE_READY`, `VERSION_STATE_READY`, `ENDPOINT_STATE_READY`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Revision, RevisionId, revision_id
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.endpoint.status import Deployment, EndpointStatus, EntityStatus
from tidegate.core.legacy_products.enablement import (
    SERVED_STAGES,
    Compute,
    Enablement,
    kept_out,
    stands_for,
    version_of,
)


class ServingState(StrEnum):
    """The state of a version, or of an update of its compute configuration. A model is PENDING, READY or FAILED."""

    PENDING = "PENDING"
    LAUNCHING = "LAUNCHING"  # a replica is being started
    READY = "READY"
    FAILED = "FAILED"
    RETRY_REQUESTED = "RETRY_REQUESTED"


@dataclass(frozen=True, slots=True)
class Seen:
    """An endpoint with its public state, and the revisions in the store."""

    endpoint: Endpoint
    status: EndpointStatus
    revisions: Mapping[RevisionId, Revision]

    def entity(self, config: EndpointConfig) -> EntityStatus:
        """The public state of a configuration's entity."""
        return self.status.entities.get(self._revision_id(config), EntityStatus(Deployment.CREATING))

    def recorded(self, config: EndpointConfig) -> RevisionState | None:
        """The stored state of a configuration's revision."""
        revision = self.revisions.get(self._revision_id(config))
        return None if revision is None else revision.state

    def _revision_id(self, config: EndpointConfig) -> RevisionId:
        return revision_id(self.endpoint.id, config.served_entities[0])


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """An update of a version's compute configuration, under way or failed."""

    state: ServingState
    message: str
    compute: Compute


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """The state of a served model version, and the endpoint and configuration that answer for it."""

    version: str
    endpoint: Endpoint
    config: EndpointConfig
    state: ServingState
    message: str
    compute: Compute
    update: UpdateStatus | None = None

    @property
    def entity(self) -> ServedEntity:
        """The served entity that answers for the version."""
        return self.config.served_entities[0]

    @property
    def stage(self) -> str:
        """The stage whose endpoint answers for it; empty where it has an endpoint of its own."""
        return self.entity.model.version if self.entity.model.version in SERVED_STAGES else ""


class _Rank(IntEnum):
    """Which of several endpoints answers for a version: the one with the lowest rank."""

    STAGE = 0
    OWN = 1
    NOT_READY = 2
    COMING = 3
    FAILED = 4


def version_statuses(enablement: Enablement, seen: Sequence[Seen]) -> tuple[VersionStatus, ...]:
    """The served versions, oldest first."""
    best: dict[str, tuple[_Rank, VersionStatus]] = {}
    for one in seen:
        for rank, status in _candidates(enablement, one):
            if status.version not in best or rank < best[status.version][0]:
                best[status.version] = rank, status
    return tuple(status for _, (_, status) in sorted(best.items(), key=lambda item: int(item[0])))


def model_state(versions: Sequence[VersionStatus]) -> tuple[ServingState, str]:
    """The state of a whole model, and a sentence.

    The sentence is that of a failed version, or else of one that is not ready, or else of one that its stage could not
    take over.
    """
    if not versions:
        return ServingState.PENDING, "No version of the model is served yet."
    late = next(iter(sorted((one for one in versions if one.state is not ServingState.READY), key=_hope)), None)
    sentence = f"Version {late.version}: {late.message}" if late and late.message else ""
    states = {one.state for one in versions}
    if ServingState.READY in states:
        return ServingState.READY, sentence or next((kept for one in versions if (kept := _kept_back(one))), "")
    return (ServingState.FAILED if states == {ServingState.FAILED} else ServingState.PENDING), sentence


def _kept_back(status: VersionStatus) -> str:
    """Why the stage of this version has not moved to another one; empty where nothing keeps it."""
    if not status.stage:
        return ""
    still, failed = f"{status.stage} is still version {status.version}", status.endpoint.failed
    if failed is not None and version_of(failed.config) != status.version:
        return f"{still}. Version {version_of(failed.config)}: {failed.message}"
    out = kept_out(status.endpoint)
    if out is None or status.endpoint.pending is not None:
        return ""
    return (
        f"{still}: version {version_of(out)} failed before, or was rolled back. "
        "restart-compute-config-update tries it again."
    )


def _hope(version: VersionStatus) -> bool:
    return version.state is not ServingState.FAILED


def aliases(seen: Sequence[Seen]) -> tuple[tuple[str, str], ...]:
    """Pairs of a stage and the version that answers for it, or will be the first to."""
    pairs = [(stands_for(one.endpoint), one.endpoint.active or one.endpoint.latest_config) for one in seen]
    return tuple(sorted((key, version_of(config)) for key, config in pairs if key in SERVED_STAGES and config))


def computes(enablement: Enablement, seen: Sequence[Seen]) -> tuple[Compute, ...]:
    """The compute configurations of the stages: those in use, or else those that were asked for."""
    configs = {stands_for(one.endpoint): one.endpoint.active or one.endpoint.latest_config for one in seen}
    used = {key: enablement.compute_of(config.served_entities[0]) for key, config in configs.items() if config}
    asked = {compute.stage: enablement.compute(compute.stage) for compute in enablement.computes}
    return tuple((asked | used)[stage] for stage in SERVED_STAGES if stage in asked | used)


def _candidates(enablement: Enablement, seen: Seen) -> Iterator[tuple[_Rank, VersionStatus]]:
    endpoint = seen.endpoint
    active, pending, failed = endpoint.active, endpoint.pending, endpoint.failed
    serving = version_of(active) if active else None
    if active is not None:
        state, message = _serving(seen.entity(active))
        rank = _Rank.STAGE if stands_for(endpoint) in SERVED_STAGES else _Rank.OWN
        compute, update = enablement.compute_of(active.served_entities[0]), _update(enablement, seen, active)
        status = VersionStatus(version_of(active), endpoint, active, state, message, compute, update)
        yield (rank if state is ServingState.READY else _Rank.NOT_READY), status
    if pending is not None and version_of(pending.config) != serving:
        state, message = _coming(seen, pending.config), seen.entity(pending.config).message
        yield _Rank.COMING, _status(enablement, endpoint, pending.config, state, message)
    if failed is not None and version_of(failed.config) != serving:
        yield _Rank.FAILED, _status(enablement, endpoint, failed.config, ServingState.FAILED, failed.message)


def _status(
    enablement: Enablement, endpoint: Endpoint, config: EndpointConfig, state: ServingState, message: str
) -> VersionStatus:
    compute = enablement.compute_of(config.served_entities[0])
    return VersionStatus(version_of(config), endpoint, config, state, message, compute)


def _serving(status: EntityStatus) -> tuple[ServingState, str]:
    match status.deployment:
        case Deployment.READY:
            return ServingState.READY, status.message
        case Deployment.CREATING | Deployment.RECOVERING | Deployment.ABORTED:  # a rollback brings back what had ended
            return ServingState.PENDING, status.message
        case Deployment.FAILED:
            return ServingState.FAILED, status.message


def _coming(seen: Seen, config: EndpointConfig) -> ServingState:
    recorded = seen.recorded(config)
    if recorded is RevisionState.FAILED:  # a new update has it, and nothing is done yet
        return ServingState.RETRY_REQUESTED
    return ServingState.LAUNCHING if recorded is RevisionState.STARTING else ServingState.PENDING


def _update(enablement: Enablement, seen: Seen, active: EndpointConfig) -> UpdateStatus | None:
    """The update of the active version's compute configuration."""
    pending, failed, version = seen.endpoint.pending, seen.endpoint.failed, version_of(active)
    if pending is not None and version_of(pending.config) == version:
        compute = enablement.compute_of(pending.config.served_entities[0])
        return UpdateStatus(_coming(seen, pending.config), seen.entity(pending.config).message, compute)
    wanted = enablement.compute(stands_for(seen.endpoint))
    if not wanted.given:
        return UpdateStatus(ServingState.PENDING, "It waits for another update to end.", wanted)
    if failed is not None and version_of(failed.config) == version:
        compute = enablement.compute_of(failed.config.served_entities[0])
        return UpdateStatus(ServingState.FAILED, failed.message, compute)
    return None
