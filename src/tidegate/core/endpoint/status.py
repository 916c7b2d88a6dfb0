"""The states that the public API shows. They are computed here from endpoints, revisions and observations."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tidegate.core.endpoint.endpoint import Endpoint, EndpointConfig
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Proof, Revision, RevisionId, RevisionObservation, revision_id, revision_ids
from tidegate.core.endpoint.served_entity import ServedEntity


class Ready(StrEnum):
    """`state.ready` of an endpoint."""

    READY = "READY"
    NOT_READY = "NOT_READY"


class ConfigUpdate(StrEnum):
    """`state.config_update` of an endpoint."""

    NOT_UPDATING = "NOT_UPDATING"
    IN_PROGRESS = "IN_PROGRESS"
    UPDATE_FAILED = "UPDATE_FAILED"


class Deployment(StrEnum):
    """`state.deployment` of a served entity."""

    CREATING = "DEPLOYMENT_CREATING"
    RECOVERING = "DEPLOYMENT_RECOVERING"
    READY = "DEPLOYMENT_READY"
    FAILED = "DEPLOYMENT_FAILED"
    ABORTED = "DEPLOYMENT_ABORTED"


@dataclass(frozen=True, slots=True)
class EntityStatus:
    """A served entity's public state with a sentence, and its proof once it has one."""

    deployment: Deployment
    message: str = ""
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """An endpoint's public state. `entities` is keyed by revision, as active and pending ones may have the same name.

    `replicas` counts the ready replicas of the active configuration. An endpoint that is READY and has none is asleep.
    """

    ready: Ready
    config_update: ConfigUpdate
    message: str
    entities: Mapping[RevisionId, EntityStatus]
    replicas: int = 0


def project(
    endpoint: Endpoint,
    revisions: Mapping[RevisionId, Revision],
    observations: Mapping[RevisionId, RevisionObservation],
) -> EndpointStatus:
    """The public state of an endpoint.

    READY means that every served entity of the active configuration is ready. Whether an update is under way is another
    field.
    """
    attempts = (endpoint.failed, endpoint.pending)
    entities = {
        rid: _entity_status(_asked_for(endpoint, revisions.get(rid)), observations.get(rid), entity)
        for config in (*(attempt.config for attempt in attempts if attempt), endpoint.active)
        for entity in (config.served_entities if config else ())
        for rid in [revision_id(endpoint.id, entity)]
    }
    ready = endpoint.active is not None and _all_ready(endpoint, endpoint.active, entities)
    serving = revision_ids(endpoint.id, endpoint.active).values() if endpoint.active else ()
    return EndpointStatus(
        Ready.READY if ready else Ready.NOT_READY,
        _config_update(endpoint),
        _message(endpoint, entities),
        entities,
        sum(observations[rid].ready_replicas for rid in serving if rid in observations),
    )


def _asked_for(endpoint: Endpoint, revision: Revision | None) -> Revision | None:
    """The revision; None where an update has it again, and the store has only the end of its earlier life."""
    over = (RevisionState.FAILED, RevisionState.RETIRING, RevisionState.RETIRED)
    if endpoint.pending and revision and revision.state in over and revision.generation != endpoint.generation:
        return None
    return revision


def _entity_status(
    revision: Revision | None, observation: RevisionObservation | None, entity: ServedEntity
) -> EntityStatus:
    if revision is None:
        return EntityStatus(Deployment.CREATING, "Waiting to be prepared.")
    match revision.state:
        case RevisionState.READY:
            cause = observation.message if observation is not None and not observation.ready_replicas else ""
            if _serves(entity, observation):
                return EntityStatus(Deployment.READY, cause or revision.message, revision.proof)
            return EntityStatus(Deployment.RECOVERING, cause or "A replica is being started again.", revision.proof)
        case RevisionState.FAILED:
            return EntityStatus(Deployment.FAILED, revision.message)
        case RevisionState.RETIRING | RevisionState.RETIRED:
            return EntityStatus(Deployment.ABORTED, revision.message)
        case _:
            cause = observation.message if observation is not None and revision.state is RevisionState.STARTING else ""
            return EntityStatus(Deployment.CREATING, cause or revision.message or "Waiting to be prepared.")


def _serves(entity: ServedEntity, observation: RevisionObservation | None) -> bool:
    """Whether a request would be answered: by a ready replica, or by one that it wakes and that does not fail."""
    if observation is None:
        return entity.scaling.min_replicas == 0
    asleep = entity.scaling.min_replicas == 0 and not (observation.target.replicas and observation.failed_starts)
    return observation.ready_replicas > 0 or asleep


def _all_ready(endpoint: Endpoint, config: EndpointConfig, entities: Mapping[RevisionId, EntityStatus]) -> bool:
    return all(
        entities[revision_id(endpoint.id, entity)].deployment is Deployment.READY for entity in config.served_entities
    )


def _config_update(endpoint: Endpoint) -> ConfigUpdate:
    if endpoint.pending is not None:
        return ConfigUpdate.IN_PROGRESS
    return ConfigUpdate.UPDATE_FAILED if endpoint.failed is not None else ConfigUpdate.NOT_UPDATING


def _message(endpoint: Endpoint, entities: Mapping[RevisionId, EntityStatus]) -> str:
    if endpoint.failed is not None:
        return endpoint.failed.message
    config = endpoint.latest_config
    if config is None:
        return ""
    states = [entities[revision_id(endpoint.id, entity)] for entity in config.served_entities]
    return next((state.message for state in states if state.deployment is not Deployment.READY), "")
