"""The autoscaler's edge: reports of gateways and engine go into `core.scaling.scaling`; numbers and events come out.

It runs within the reconciler's pass, on the observations of that pass: so a replica that a gateway has just woken is
seen before anything is decided about it.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

from tidegate.control.gateways import Gateways
from tidegate.control.loads import Loads
from tidegate.core.endpoint.endpoint import Endpoint, ParkedConfig
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Revision, RevisionId, RevisionObservation, revision_id
from tidegate.core.legacy_products.serving_history import of_replicas
from tidegate.core.rollout.parking import due, parked_replicas, parked_revisions
from tidegate.core.scaling.scaling import ScaleDecision, ScalingState, Sight, decide
from tidegate.ports import Clock, Event

# The worker's words for a replica that predicts the requests of several callers together.
_TOGETHER = ("proved", "on")

# Events that wait to be written; more are lost, as nobody reads so many.
_MAX_UNTOLD = 1000


class Scaler:
    """Decides how many replicas each READY revision should have. `hurry` is called when that is due at once."""

    def __init__(self, gateways: Gateways, clock: Clock, cores: int, park_seconds: float) -> None:
        self.hurry: Callable[[], None] = lambda: None
        self._gateways, self._clock, self._cores, self._park_seconds = gateways, clock, cores, park_seconds
        self._loads = Loads()
        self._states: dict[RevisionId, ScalingState] = {}
        self._looked_at: tuple[Endpoint, ...] = ()
        self._parked: Mapping[RevisionId, ParkedConfig] = {}  # of those endpoints
        self._untold: deque[Event] = deque(maxlen=_MAX_UNTOLD)
        self.asleep = False  # whether nothing ran when it looked last; the first request hurries it then
        gateways.on_report.append(self._reported)

    def scales(
        self,
        endpoints: tuple[Endpoint, ...],
        revisions: Mapping[RevisionId, Revision],
        observations: Mapping[RevisionId, RevisionObservation],
    ) -> Mapping[RevisionId, int]:
        """How many replicas each READY revision should have now."""
        now, endpoints = self._clock.monotonic(), _routed(endpoints)
        self._loads.take(self._gateways.reports, now)
        self._loads.look(self._gateways.expected, now)
        updating = {endpoint.id: endpoint for endpoint in endpoints if endpoint.pending is not None}
        ready = {rid: revision for rid, revision in revisions.items() if revision.state is RevisionState.READY}
        left = self._parks(endpoints)
        self._states = {rid: state for rid, state in self._states.items() if rid in ready and rid not in left}
        self._loads.forget(ready)
        over = self._gateways.unrouted(due(self._parked, self._park_seconds, self._clock.now()))
        for rid, revision in ready.items():
            if rid in self._parked:
                self._park(revision, observations.get(rid), now, over=rid in over)
            else:
                self._scale(revision, observations.get(rid), updating.get(revision.endpoint_id), now)
        self._loads.stirred.clear()
        self.asleep = not any(seen.target.replicas or seen.replicas for seen in observations.values())
        return {rid: state.replicas for rid, state in self._states.items()}

    def told(self, most: int) -> Iterator[Event]:
        """What happened since it was asked last, oldest first, and so much of it at most."""
        for _ in range(min(most, len(self._untold))):
            yield self._untold.popleft()

    # ---

    def _reported(self) -> None:
        urgent = self._loads.take(self._gateways.reports, self._clock.monotonic())
        if urgent or (self.asleep and self._loads.stirred):
            self.hurry()

    def _parks(self, endpoints: tuple[Endpoint, ...]) -> Collection[RevisionId]:
        """Know what is parked. Those that no longer are: they begin with as many replicas as they take over from."""
        if endpoints is self._looked_at:
            return ()
        before, self._parked = self._parked, parked_revisions(endpoints)
        self._looked_at = endpoints
        return before.keys() - self._parked.keys()

    def _park(self, revision: Revision, seen: RevisionObservation | None, now: float, *, over: bool) -> None:
        held = seen.target.replicas if seen else 0
        state = self._states.get(revision.id) or ScalingState(held, now)
        replicas = parked_replicas(state.replicas, held, over=over)
        if state.replicas and not replicas:
            decision = ScaleDecision(0, f"parked for {self._park_seconds:g} s")
            self._untold.append(_event(revision, state.replicas, decision, self._clock.now()))
        self._states[revision.id] = replace(state, replicas=replicas)

    def _scale(
        self, revision: Revision, seen: RevisionObservation | None, updating: Endpoint | None, now: float
    ) -> None:
        state, held = self._states.get(revision.id), seen.target.replicas if seen else 0
        if state is not None and not (state.replicas or held or revision.id in self._loads.stirred):
            return  # it sleeps, and costs next to nothing
        policy = revision.entity.scaling
        if state is None:
            state = ScalingState(self._first(revision, held, updating), now)
        if seen is not None:
            self._loads.measured(revision.id, seen.replicas)
        if updating is not None and _is_tried(revision, updating):
            self._states[revision.id] = replace(state, replicas=max(state.replicas, held))
            return
        sight = Sight(
            self._loads.point(revision.id, now),
            held,
            seen.ready_replicas if seen else 0,
            self._loads.known_since,
            _proved_together(revision) or self._loads.together(revision.id),
            updating is not None,
        )
        decision, after = decide(policy, state, sight, self._cores, now)
        self._states[revision.id] = after
        if decision.replicas != state.replicas:
            self._untold.append(_event(revision, state.replicas, decision, self._clock.now()))

    def _first(self, revision: Revision, held: int, updating: Endpoint | None) -> int:
        """What the engine holds, whoever decided that; for what an update brings, as many as it takes over from."""
        count = max(held, self._replaced(revision, updating) if updating else 0)
        policy = revision.entity.scaling
        return max(policy.min_replicas, min(count, policy.max_replicas))

    def _replaced(self, revision: Revision, endpoint: Endpoint) -> int:
        entities = endpoint.active.served_entities if endpoint.active else ()
        same = [entity for entity in entities if entity.name == revision.entity.name or len(entities) == 1]
        states = (self._states.get(revision_id(endpoint.id, entity)) for entity in same)
        return max((state.replicas for state in states if state is not None), default=0)


def _routed(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """The endpoints as gateways see them; the very same tuple, which is known again, where none is being switched."""
    return tuple(one.routed for one in endpoints) if any(one.switching for one in endpoints) else endpoints


def _is_tried(revision: Revision, updating: Endpoint) -> bool:
    """Whether it does not serve yet: all that is asked of it is what a gate replays, and that is no load."""
    return updating.active is not None and revision.entity not in updating.active.served_entities


def _proved_together(revision: Revision) -> bool:
    batching = revision.proof.batching if revision.proof else None
    return batching is not None and batching.get("mode") in _TOGETHER


def _event(revision: Revision, before: int, decision: ScaleDecision, at: float) -> Event:
    kind = "scaled_to_zero" if not decision.replicas else "scaled" if before else "woken"
    noun = "replica" if decision.replicas == 1 else "replicas"
    message = of_replicas(revision.entity, f"{before} → {decision.replicas} {noun}: {decision.reason}.")
    return Event(revision.endpoint_id, at, kind, message)
