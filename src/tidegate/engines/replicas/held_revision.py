"""A revision that the agent holds: its target, its failures, and the notices to its owner. No I/O."""

import math
from collections import deque
from dataclasses import dataclass, field

from tidegate.core.endpoint.revision import Notice
from tidegate.engines.replicas.applied_targets import AppliedTarget
from tidegate.engines.scheduling.facts import RevisionFacts
from tidegate.engines.scheduling.restart_backoff import Failures
from tidegate.engines.templates.templates import Templates

# The two ways in which a replica starts, as the `mode` of a proof's `start` names them.
FORK, SPAWN = "fork", "spawn"

MAX_NOTICES = 20


@dataclass(slots=True)
class HeldRevision:
    """The state of one held revision. `at` and `…_at` are monotonic seconds, but for the arguments of `note`."""

    applied: AppliedTarget
    launch: str  # see `launch_digest`
    template: str = ""  # the key of the template that its replicas can be forked from
    failures: Failures = field(default_factory=Failures)
    failed_loaded_at: float = 0.0  # unix seconds; see RevisionObservation
    fork_failure: str = ""  # why a fork did not become ready; empty again once a replica is ready
    woken_at: float | None = None  # the time of a wake for which no replica has been started yet
    evicted: bool = False
    awaited: bool = False
    used_at: float = -math.inf
    expected_bytes: int = 0
    replaced_at: tuple[float, ...] = ()
    no_capacity: str = ""  # why the machine has no memory for a replica
    no_capacity_noted_at: float = -math.inf
    ended_noted_at: float = -math.inf
    over_limit: str = ""  # why a replica over its memory limit is not replaced
    notices: deque[Notice] = field(default_factory=lambda: deque(maxlen=MAX_NOTICES))

    @property
    def start_mode(self) -> str:
        """How its replicas start, FORK or SPAWN; empty while no trial has shown whether they can be forked."""
        start = self.applied.proof.start if self.applied.proof is not None else None
        return str(start["mode"]) if start else ""

    @property
    def needs_fork_trial(self) -> bool:
        """Whether a replica was ready, and no trial has shown yet whether replicas can be forked."""
        return self.applied.proof is not None and not self.start_mode and not self.applied.removing

    def facts(self, templates: Templates, now: float) -> RevisionFacts:
        """What the schedule decides from. A revision of which no replica was ever ready may be forked without a trial.

        A start of a revision that needs a trial waits for it: a start and a trial at once take twice as long.
        """
        target, proof, key = self.applied.target, self.applied.proof, self.template
        may_fork = not self.fork_failure and (proof is None or self.start_mode == FORK)
        known_to_fork = may_fork and proof is not None
        template_until = -math.inf
        if known_to_fork or self.needs_fork_trial:
            template_until = templates.awaited_until(key, now)
        if self.needs_fork_trial:
            template_until = max(template_until, templates.tried_until(key))
        return RevisionFacts(
            target,
            self.launch,
            self.applied.removing,
            target.proved or proof is not None,
            self.failures.starts,
            self.failures.start_after,
            may_fork and key in templates.warm,
            template_until,
            known_to_fork and templates.may_begin(key, now),
            self.evicted,
            self.awaited,
            self.used_at,
            self.expected_bytes,
            self.replaced_at,
        )

    @property
    def at_rest(self) -> bool:
        """Whether its target is no replica at all; once none runs, the schedule has nothing to decide."""
        target = self.applied.target
        wanted = not self.evicted and (target.replicas or target.min_replicas)
        return not (wanted or self.applied.removing)

    def note(self, at: float, kind: str, message: str) -> None:
        """Add a notice for its owner; of more than MAX_NOTICES the oldest goes. `at` is unix seconds."""
        last = self.notices[-1].at if self.notices else -math.inf
        self.notices.append(Notice(max(at, last + 0.001), kind, message))
