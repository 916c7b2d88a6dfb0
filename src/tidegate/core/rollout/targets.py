"""The target of a prepared revision: what the engine has to run for it."""

from tidegate.core.endpoint.revision import Revision, RevisionTarget
from tidegate.core.endpoint.served_entity import Batching, ServedEntity


def target_of(
    revision: Revision, replicas: int | None = None, memory_bytes: int = 0, *, parked: bool = False
) -> RevisionTarget:
    """The target of a prepared revision.

    `replicas` are by default the fewest that make a proof. `memory_bytes` is the limit of each; 0 is none. A `parked`
    revision may have no replica, whatever the minimum of its entity.
    """
    assert revision.environment is not None
    entity, scaling = revision.entity, revision.entity.scaling
    return RevisionTarget(
        revision=revision.id,
        endpoint=revision.endpoint_name,
        served_entity=entity.name,
        model_dir=revision.model_dir,
        environment=revision.environment,
        replicas=_first_replicas(revision) if replicas is None else replicas,
        min_replicas=0 if parked else scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        timeout_seconds=entity.timeout_seconds,
        environment_vars=entity.environment_vars,
        proved=revision.proof is not None,
        batching=batching_of(entity),
        trials=entity.may_be_tried,
        proof=revision.proof,
        memory_bytes=memory_bytes,
        parked=parked,
    )


def _first_replicas(revision: Revision) -> int:
    return 0 if needs_no_replica(revision) else max(1, revision.entity.scaling.min_replicas)


def batching_of(entity: ServedEntity) -> Batching:
    """Whether an entity batches. Without trials nothing proves that it may, so only its owner's word counts."""
    return Batching.OFF if entity.batching is Batching.AUTO and not entity.may_be_tried else entity.batching


def needs_no_replica(revision: Revision) -> bool:
    """Whether a revision is ready without a replica: it has a proof, and may scale to zero."""
    return revision.proof is not None and revision.entity.scaling.min_replicas == 0
