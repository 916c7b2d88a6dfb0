"""Small values of the core's types, for tests: what is not said is the same everywhere."""

from typing import Any

from tidegate.core.endpoint.endpoint import (
    Endpoint,
    EndpointConfig,
    PendingConfig,
    Route,
    default_routes,
)
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import (
    Address,
    Environment,
    EnvironmentDigest,
    Proof,
    Replica,
    ReplicaId,
    ReplicaState,
    Revision,
    RevisionId,
    RevisionObservation,
    revision_id,
)
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion, ServedEntity
from tidegate.core.rollout.targets import target_of

ENVIRONMENT = Environment(EnvironmentDigest("e" * 16), "/envs/e/bin/python", "/overlays/3.11")
PROOF = Proof("input_example")


def an_entity(name: str = "wine-1", model: str = "wine", version: str = "1", **fields: Any) -> ServedEntity:
    """A served entity of `models:/wine/1`."""
    return ServedEntity(name, ModelRef(model, version), ModelVersion(model, version), **fields)


def a_config(*entities: ServedEntity, version: int = 1, routes: tuple[Route, ...] | None = None) -> EndpointConfig:
    """A configuration of these entities, all traffic to the first."""
    entities = entities or (an_entity(),)
    return EndpointConfig(version, entities, default_routes(entities) if routes is None else routes)


def an_endpoint(name: str = "wine", **fields: Any) -> Endpoint:
    """An endpoint without any configuration."""
    return Endpoint(f"id-{name}", name, "admin", 1.0, 1.0, **fields)


def a_created_endpoint(config: EndpointConfig | None = None, name: str = "wine") -> Endpoint:
    """An endpoint as it is right after its creation."""
    return an_endpoint(name, pending=PendingConfig(config or a_config(), 1.0))


def a_revision(endpoint: Endpoint, entity: ServedEntity, state: RevisionState, **fields: Any) -> Revision:
    """The revision of an endpoint's entity, prepared when its state says so."""
    if state not in (RevisionState.PENDING, RevisionState.PREPARING):
        fields = {"environment": ENVIRONMENT, "model_dir": "/models/m", **fields}
    fields = {"generation": endpoint.generation, **fields}
    return Revision(revision_id(endpoint.id, entity), endpoint.id, endpoint.name, entity, state=state, **fields)


def an_observation(
    revision: Revision, *replicas: ReplicaState, failed_starts: int = 0, message: str = "", proof: Proof | None = None
) -> RevisionObservation:
    """What an engine reports of a revision that it holds as planned."""
    held = tuple(
        Replica(ReplicaId(f"{number:08x}"), state, Address(f"/run/{number}.sock", "secret"), 100 + number, 1.0)
        for number, state in enumerate(replicas)
    )
    return RevisionObservation(target_of(revision), held, failed_starts, message, proof)


def rid(endpoint: Endpoint, entity: ServedEntity) -> RevisionId:
    """The id of the revision that serves `entity` behind `endpoint`."""
    return revision_id(endpoint.id, entity)
