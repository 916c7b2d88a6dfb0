"""How far an endpoint's newest attempt to serve a configuration is, with the logs that tell more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.control.endpoints.log_follower import LogEnd
from tidegate.control.reconcile.world import World
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Revision, RevisionId, revision_id
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.rollout.preparation_steps import Attempt, Span, Spans, Step, StepView, attempt_of, steps_of
from tidegate.core.rollout.switch import Switch
from tidegate.ports import Event

_BEGINNINGS = ("created", "update_started", "rollback_started")


@dataclass(frozen=True, slots=True)
class EntityPreparation:
    """The steps of one served entity of the attempt."""

    entity: ServedEntity
    revision: RevisionId
    steps: tuple[StepView, ...]


@dataclass(frozen=True, slots=True)
class PreparationView:
    """An attempt with the steps of its entities.

    `took` is how many seconds it took until it served; None where it does not, or where that is not known. `usual` has
    the usual seconds of each step on this machine, as far as known.
    """

    attempt: Attempt
    entities: tuple[EntityPreparation, ...]
    usual: Mapping[Step, float]
    took: float | None = None


@dataclass(frozen=True, slots=True)
class PreparationLogs:
    """The ends of a revision's logs: that of its build, and that of its replicas."""

    build: LogEnd
    replica: LogEnd


def preparation_of(
    world: World, endpoint: Endpoint, now: float, switches: Sequence[Switch] = (), events: Sequence[Event] = ()
) -> PreparationView:
    """The newest attempt of an endpoint, by the newest snapshot."""
    attempt, revisions = attempt_of(endpoint), world.snapshot.revisions
    switched = [switch.at for switch in switches if switch.after.config == attempt.config.version]
    ids = {revision_id(endpoint.id, entity): entity for entity in attempt.config.served_entities}
    present = {rid: _present(endpoint, revisions.get(rid)) for rid in ids}
    spans = {rid: world.times.spans(rid) if present[rid] else {} for rid in ids}
    serving = _serving_span(tuple(spans.values()), switched)
    entities = [
        EntityPreparation(
            entity,
            rid,
            steps_of(attempt, entity, present[rid], world.observations.get(rid), {**spans[rid], **serving}, now),
        )
        for rid, entity in ids.items()
    ]
    return PreparationView(attempt, tuple(entities), world.times.usual(), _took(attempt, switched, events))


def _serving_span(spans: Sequence[Spans], switched: Sequence[float]) -> Spans:
    """The gate and the switch: from the last entity's readiness on; empty where that is not known."""
    ready = [max((span.ended or 0.0 for span in mine.values()), default=0.0) for mine in spans]
    if not all(ready) or any(span.ended is None for mine in spans for span in mine.values()):
        return {}
    return {Step.SERVES: Span(max(ready), max(switched[-1], max(ready)) if switched else None)}


def _present(endpoint: Endpoint, revision: Revision | None) -> Revision | None:
    """The revision; None where an update has it again, and the store has the end of its earlier life."""
    over = (RevisionState.FAILED, RevisionState.RETIRING, RevisionState.RETIRED)
    if endpoint.pending and revision and revision.state in over and revision.generation != endpoint.generation:
        return None
    return revision


def _took(attempt: Attempt, switched: Sequence[float], events: Sequence[Event]) -> float | None:
    if not switched:
        return None
    began = attempt.began_at
    if began is None:
        began = max((one.at for one in events if one.kind in _BEGINNINGS and one.at <= switched[-1]), default=None)
    return None if began is None else max(0.0, switched[-1] - began)
