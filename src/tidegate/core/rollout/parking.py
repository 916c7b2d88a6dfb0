"""Parking: what served before keeps its replicas for a time, is then held without any, and is woken when it returns."""

from collections.abc import Collection, Iterable, Mapping

from tidegate.core.endpoint.endpoint import ROLLBACK, Endpoint, ParkedConfig, ServedEntity
from tidegate.core.endpoint.revision import RevisionId, RevisionObservation, revision_id


def parked_revisions(endpoints: Iterable[Endpoint]) -> dict[RevisionId, ParkedConfig]:
    """The revisions that are held for a rollback only, and since when and why."""
    return {
        revision_id(endpoint.id, entity): endpoint.previous
        for endpoint in endpoints
        if endpoint.previous is not None and endpoint.deleted_at is None
        for entity in endpoint.previous.config.served_entities
        if endpoint.parks(entity)
    }


def kept_until(parked: ParkedConfig, park_seconds: float) -> float:
    """Until when its replicas stay, unix seconds."""
    return parked.since + park_seconds


def due(parked: Mapping[RevisionId, ParkedConfig], park_seconds: float, now: float) -> Collection[RevisionId]:
    """Those whose replicas have stayed for long enough."""
    return [rid for rid, config in parked.items() if now >= kept_until(config, park_seconds)]


def parked_replicas(before: int, held: int, *, over: bool) -> int:
    """How many replicas a parked revision should have: as many as it had, and none when its time is `over`.

    One that had none gets none; one that a late request has woken is let be until nobody needs it.
    """
    return 0 if over else max(before, held)


def must_wake(endpoint: Endpoint, entity: ServedEntity, seen: RevisionObservation | None, *, asked: bool) -> bool:
    """Whether the switch to a pending entity that is READY waits for a replica: it was parked, or proved by another.

    Where its owner lets it sleep, only if the gate is to ask it; and not in a rollback: what serves is not to serve any
    longer.
    """
    assert endpoint.pending is not None
    serves = endpoint.active is not None and entity in endpoint.active.served_entities
    if serves or endpoint.pending.by == ROLLBACK or (entity.scaling.min_replicas == 0 and not asked):
        return False
    return seen is None or not seen.ready_replicas
