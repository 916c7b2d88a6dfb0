"""Parking: the configuration that served before keeps its replicas for a while, so that a rollback is quick.

After that time it is held without replicas, and a rollback wakes it.
"""

from collections.abc import Collection, Iterable, Mapping

from tidegate.core.endpoint.endpoint import ROLLBACK, Endpoint, ParkedConfig
from tidegate.core.endpoint.revision import RevisionId, RevisionObservation, revision_id
from tidegate.core.endpoint.served_entity import ServedEntity


def parked_revisions(endpoints: Iterable[Endpoint]) -> dict[RevisionId, ParkedConfig]:
    """The revisions that are held for a rollback only, each with its parked configuration."""
    return {
        revision_id(endpoint.id, entity): endpoint.previous
        for endpoint in endpoints
        if endpoint.previous is not None and endpoint.deleted_at is None
        for entity in endpoint.previous.config.served_entities
        if endpoint.parks(entity)
    }


def kept_until(parked: ParkedConfig, park_seconds: float) -> float:
    """Until when the replicas stay, unix seconds."""
    return parked.since + park_seconds


def due(parked: Mapping[RevisionId, ParkedConfig], park_seconds: float, now: float) -> Collection[RevisionId]:
    """The revisions whose replicas have stayed for `park_seconds`."""
    return [rid for rid, config in parked.items() if now >= kept_until(config, park_seconds)]


def parked_replicas(before: int, held: int, *, over: bool) -> int:
    """How many replicas a parked revision should have: as many as it has, and none when its time is `over`.

    A parked revision without a replica gets none. A replica that a late request has woken stays until that time.
    """
    return 0 if over else max(before, held)


def must_wake(endpoint: Endpoint, entity: ServedEntity, seen: RevisionObservation | None, *, asked: bool) -> bool:
    """Whether the switch waits until a pending entity that is READY has a replica. It has none where it was parked, or
    where its proof comes from another revision.

    An entity that may scale to zero needs a replica only if the gate replays requests on it. A rollback does not wait,
    as the active configuration must stop serving.
    """
    assert endpoint.pending is not None
    serves = endpoint.active is not None and entity in endpoint.active.served_entities
    if serves or endpoint.pending.by == ROLLBACK or (entity.scaling.min_replicas == 0 and not asked):
        return False
    return seen is None or not seen.ready_replicas
