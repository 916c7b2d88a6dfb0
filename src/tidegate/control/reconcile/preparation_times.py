"""When the steps of each revision's preparation began and ended, as far as this process of control has seen them.

The store has only the states of revisions, and no times of what happens within one.
"""

import statistics
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import replace

from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import Replica, ReplicaState, Revision, RevisionId, RevisionObservation
from tidegate.core.rollout.preparation_steps import Span, Spans, Step
from tidegate.ports import Clock

# The durations of a step that are remembered, and how many are needed to say what is usual.
_REMEMBERED, _ENOUGH = 50, 3


class PreparationTimes:
    """The spans of steps by revision. Nothing is kept of revisions that are not on record any more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spans: dict[RevisionId, dict[Step, Span]] = {}
        self._starting: set[RevisionId] = set()
        self._past: defaultdict[Step, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))

    def spans(self, revision: RevisionId) -> Spans:
        """The spans of a revision's steps."""
        return dict(self._spans.get(revision, {}))

    def usual(self) -> Mapping[Step, float]:
        """The median duration of each step here, seconds; only of steps that were seen some times."""
        return {step: statistics.median(past) for step, past in self._past.items() if len(past) >= _ENOUGH}

    def begin(self, revision: RevisionId, step: Step) -> None:
        """A step begins, and with it the one before has ended. The download begins a preparation anew."""
        if step is Step.DOWNLOAD:
            self._spans[revision] = {}
        self.end(revision)
        self._spans.setdefault(revision, {})[step] = Span(self._clock.now())

    def end(self, revision: RevisionId, *, failed: bool = False) -> None:
        """The step that runs has ended. The duration of one that failed says nothing about others."""
        for step, span in self._spans.get(revision, {}).items():
            if span.ended is None:
                self._close(revision, step, self._clock.now(), failed=failed)

    def look(
        self, revisions: Mapping[RevisionId, Revision], observations: Mapping[RevisionId, RevisionObservation] | None
    ) -> None:
        """Take the times of replicas that start from what the store and the engine say."""
        for gone in [rid for rid in self._spans if rid not in revisions]:
            del self._spans[gone]
            self._starting.discard(gone)
        starting = {rid for rid, revision in revisions.items() if revision.state is RevisionState.STARTING}
        for rid in starting | self._starting:
            revision = revisions.get(rid)
            if revision is not None:
                self._take(revision, (observations or {}).get(rid))
        self._starting = starting

    def _take(self, revision: Revision, observation: RevisionObservation | None) -> None:
        if revision.state in (RevisionState.PENDING, RevisionState.PREPARING):  # prepared anew
            return
        mine, starting = self._spans.setdefault(revision.id, {}), revision.state is RevisionState.STARTING
        replica = mine.setdefault(Step.REPLICA, Span(revision.state_since))
        newest = _furthest(observation)
        loaded_at = _loaded_at(newest, observation)
        if loaded_at:
            if replica.ended is None:
                self._close(revision.id, Step.REPLICA, loaded_at)
            mine.setdefault(Step.EXAMPLE, Span(loaded_at))
        elif newest is not None and starting:  # another replica than that of before
            mine.pop(Step.EXAMPLE, None)
            mine[Step.REPLICA] = replace(replica, ended=None)
        if starting:
            return
        ready_at = newest.ready_at if newest is not None and newest.ready_at else revision.state_since
        for step in (Step.REPLICA, Step.EXAMPLE):
            if step in mine and mine[step].ended is None:
                self._close(revision.id, step, ready_at, failed=revision.state is RevisionState.FAILED)

    def _close(self, revision: RevisionId, step: Step, at: float, *, failed: bool = False) -> None:
        span = self._spans[revision][step]
        self._spans[revision][step] = replace(span, ended=max(span.began, at))
        if not failed:
            self._past[step].append(max(0.0, at - span.began))


def _furthest(observation: RevisionObservation | None) -> Replica | None:
    """The replica that is furthest on its way; None where none is."""
    alive = [one for one in observation.replicas if one.state is not ReplicaState.DRAINING] if observation else []
    return max(alive, key=lambda one: (one.ready_at, one.loaded_at, one.started_at), default=None)


def _loaded_at(newest: Replica | None, observation: RevisionObservation | None) -> float:
    """When the model was loaded by the replica that starts, or else by the one that failed last; 0 for never."""
    if newest is not None:
        return newest.loaded_at
    return observation.failed_loaded_at if observation is not None and observation.failed_starts else 0.0
