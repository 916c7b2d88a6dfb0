"""The autoscaler: hands the reports of gateways and engine to `core.scaling.scaling`, and keeps its numbers and events.

It runs within the reconciler's pass, on the observations of that pass. So it sees a replica that a gateway has just
woken before it decides about it.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.reconcile.replica_loads import ReplicaLoads
from tidegate.control.wakeups import Wakeups
from tidegate.core.endpoint.endpoint import Endpoint, ParkedConfig
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Revision, RevisionId, RevisionObservation, revision_id
from tidegate.core.legacy_products.serving_history import of_replicas
from tidegate.core.rollout.parking import due, parked_replicas, parked_revisions
from tidegate.core.scaling.scaling import ObservedLoad, ScaleDecision, ScalingState, decide
from tidegate.ports import Clock, Event

# The values of `batching.mode` of a replica that predicts the requests of several callers together.
_TOGETHER = ("proved", "on")

# How many events may wait to be written. The oldest of more are lost: nobody reads so many.
_MAX_UNTOLD = 1000


class Autoscaler:
    """Decides how many replicas each READY revision should have."""

    def __init__(self, gateways: Gateways, clock: Clock, cores: int, park_seconds: float, wakeups: Wakeups) -> None:
        self._gateways, self._clock, self._cores, self._park_seconds = gateways, clock, cores, park_seconds
        self._wakeups = wakeups
        self._loads = ReplicaLoads()
        self._states: dict[RevisionId, ScalingState] = {}
        self._looked_at: tuple[Endpoint, ...] = ()
        self._parked: Mapping[RevisionId, ParkedConfig] = {}  # of those endpoints
        self._untold: deque[Event] = deque(maxlen=_MAX_UNTOLD)
        self.reasons: dict[RevisionId, str] = {}  # why each has the number of replicas that it has
        self.asleep = False  # whether no replica ran at the last look: the first request then hurries the reconciler

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
        self.reasons = {rid: reason for rid, reason in self.reasons.items() if rid in ready}
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

    def reported(self) -> None:
        """A gateway has reported: hurry the reconciler where a request waits for replicas."""
        urgent = self._loads.take(self._gateways.reports, self._clock.monotonic())
        if urgent or (self.asleep and self._loads.stirred):
            self._wakeups.hurry()

    def take_untold(self, most: int) -> Iterator[Event]:
        """The events that have not been told yet, oldest first, at most `most` of them."""
        for _ in range(min(most, len(self._untold))):
            yield self._untold.popleft()

    # ---

    def _parks(self, endpoints: tuple[Endpoint, ...]) -> Collection[RevisionId]:
        """Note which revisions are parked; returns those that no longer are.

        These begin with as many replicas as the revision that they take over from.
        """
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
            return  # it sleeps: there is nothing to decide
        policy = revision.entity.scaling
        if state is None:
            state = ScalingState(self._first(revision, held, updating), now)
        if seen is not None:
            self._loads.measured(revision.id, seen.replicas)
        if updating is not None and _is_tried(revision, updating):
            self._states[revision.id] = replace(state, replicas=max(state.replicas, held))
            return
        observed = ObservedLoad(
            self._loads.point(revision.id, now),
            held,
            seen.ready_replicas if seen else 0,
            self._loads.known_since,
            _proved_together(revision) or self._loads.together(revision.id),
            updating is not None,
        )
        decision, after = decide(policy, state, observed, self._cores, now)
        if decision.reason:
            self.reasons[revision.id] = decision.reason
        self._states[revision.id] = after
        if decision.replicas != state.replicas:
            self._untold.append(_event(revision, state.replicas, decision, self._clock.now()))

    def _first(self, revision: Revision, held: int, updating: Endpoint | None) -> int:
        """The replicas that a revision begins with: those that the engine holds, or as many as it takes over from."""
        count = max(held, self._replaced(revision, updating) if updating else 0)
        policy = revision.entity.scaling
        return max(policy.min_replicas, min(count, policy.max_replicas))

    def _replaced(self, revision: Revision, endpoint: Endpoint) -> int:
        entities = endpoint.active.served_entities if endpoint.active else ()
        same = [entity for entity in entities if entity.name == revision.entity.name or len(entities) == 1]
        states = (self._states.get(revision_id(endpoint.id, entity)) for entity in same)
        return max((state.replicas for state in states if state is not None), default=0)


def _routed(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """The endpoints as gateways see them. Without a switch it is the same tuple, which is recognized by identity."""
    return tuple(one.routed for one in endpoints) if any(one.switching for one in endpoints) else endpoints


def _is_tried(revision: Revision, updating: Endpoint) -> bool:
    """Whether the revision does not serve yet. Its only requests are then the gate's replays, which are no load."""
    return updating.active is not None and revision.entity not in updating.active.served_entities


def _proved_together(revision: Revision) -> bool:
    batching = revision.proof.batching if revision.proof else None
    return batching is not None and batching.get("mode") in _TOGETHER


def _event(revision: Revision, before: int, decision: ScaleDecision, at: float) -> Event:
    kind = "scaled_to_zero" if not decision.replicas else "scaled" if before else "woken"
    noun = "replica" if decision.replicas == 1 else "replicas"
    message = of_replicas(revision.entity, f"{before} → {decision.replicas} {noun}: {decision.reason}.")
    return Event(revision.endpoint_id, at, kind, message)
