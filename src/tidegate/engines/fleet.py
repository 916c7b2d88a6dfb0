"""What an agent holds and what runs of it, in memory: the account from which it decides and reports. No I/O."""

import signal
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from tidegate.core.revision import (
    Proof,
    Replica,
    ReplicaId,
    ReplicaState,
    RevisionAddresses,
    RevisionId,
    RevisionObservation,
    RevisionTarget,
)
from tidegate.engines import endings
from tidegate.engines.backoff import Failures
from tidegate.engines.launcher import launch_digest
from tidegate.engines.plan import Decision, Held, Limits, ReplicaFacts, decide
from tidegate.engines.replica_process import ReplicaProcess
from tidegate.engines.targets import Applied
from tidegate.engines.templates import Templates

# How replicas start, as a proof has it.
FORK, SPAWN = "fork", "spawn"


@dataclass(slots=True)
class HeldRevision:
    """A revision that is held: what is on disk of it, and the account of its failures."""

    applied: Applied
    launch: str
    template: str = ""  # the key of the template that its replicas can be forked from
    failures: Failures = field(default_factory=Failures)
    refused: str = ""  # why a fork of it did not become ready, since the last replica that did
    woken_at: float | None = None  # monotonic seconds; by a wake that no start has answered yet

    @property
    def start_mode(self) -> str:
        """How its replicas start, once that was tried: "fork" or "spawn"; else empty."""
        start = self.applied.proof.start if self.applied.proof is not None else None
        return str(start["mode"]) if start else ""

    @property
    def untested(self) -> bool:
        """Whether a replica of it was ready, and nobody knows whether one can be forked."""
        return self.applied.proof is not None and not self.start_mode and not self.applied.removing

    def held(self, warm: Collection[str]) -> Held:
        """What decisions are made from. One of which no replica was ever ready may try a fork at once."""
        target, proof = self.applied.target, self.applied.proof
        may_fork = not self.refused and (proof is None or self.start_mode == FORK)
        return Held(
            target,
            self.launch,
            self.applied.removing,
            target.proved or proof is not None,
            self.failures.starts,
            self.failures.start_after,
            may_fork and self.template in warm,
        )

    @property
    def at_rest(self) -> bool:
        """Whether it is to have no replica: once it has none, nothing is to be decided."""
        target = self.applied.target
        return not (target.replicas or target.min_replicas or self.applied.removing)


class Fleet:
    """Revisions and replicas. `now` is in monotonic seconds throughout."""

    def __init__(self, max_backoff: float, templates: Templates) -> None:
        self.revisions: dict[RevisionId, HeldRevision] = {}
        self.replicas: dict[ReplicaId, ReplicaProcess] = {}
        self.forking: dict[ReplicaId, ReplicaFacts] = {}  # asked of a template, and not there yet
        self._max_backoff = max_backoff
        self._templates = templates

    @property
    def empty(self) -> bool:
        """Whether nothing runs."""
        return not self.replicas and not self.forking

    def decide(self, limits: Limits, now: float, *, ending: bool) -> Decision:
        """What to do next. When the platform is `ending`, nothing is held: whatever runs is drained."""
        facts = [*(replica.facts for replica in self.replicas.values()), *self.forking.values()]
        running, warm = {one.revision for one in facts}, self._templates.warm
        awake = {} if ending else self.revisions
        held = {rid: one.held(warm) for rid, one in awake.items() if rid in running or not one.at_rest}
        return decide(held, facts, limits, now)

    # --- what is held

    def hold(self, applied: Applied) -> None:
        """Hold this from now on. Another launch than before is a new beginning: earlier failures do not count."""
        launch = launch_digest(applied.target)
        known = self.revisions.get(applied.target.revision)
        if known is None or known.launch != launch or known.applied.removing:
            template = self._templates.key_of(applied.target)
            self.revisions[applied.target.revision] = HeldRevision(applied, launch, template)
        else:
            known.applied = applied

    def applied(self, target: RevisionTarget) -> Applied:
        """The target as it will be held, with the proof that is on record."""
        known = self.revisions.get(target.revision)
        if known is None:
            return Applied(target, proof=target.proof)
        return Applied(target, proof=known.applied.proof or target.proof, answer=known.applied.answer)

    def wake(self, revision: RevisionId, now: float) -> bool:
        """Hold at least one replica of it. Whether that changes what is held."""
        known = self.revisions.get(revision)
        if known is None or known.applied.removing or known.applied.target.replicas > 0:
            return False
        known.woken_at = now
        known.applied = msgspec.structs.replace(known.applied, target=replace(known.applied.target, replicas=1))
        return True

    # --- what happens to replicas

    def ready(self, facts: ReplicaFacts, proof: Proof | None, answer: str | None) -> bool:
        """A replica can predict. Whether its proof is news."""
        known = self.revisions.get(facts.revision)
        if known is None:
            return False
        known.failures, refused, known.refused = known.failures.became_ready(), known.refused, ""
        if proof is None or known.applied.proof is not None:
            return False
        if facts.forked:
            proof = replace(proof, start={"mode": FORK, "reason": ""})
        elif refused:
            proof = replace(proof, start={"mode": SPAWN, "reason": refused})
        known.applied = msgspec.structs.replace(known.applied, proof=proof, answer=answer)
        return True

    def tested(self, revision: RevisionId, reason: str) -> bool:
        """A fork of it was tried; `reason` is why replicas cannot be forked, if any. Whether that is news."""
        known = self.revisions.get(revision)
        if known is None or known.applied.proof is None:
            return False
        proof = replace(known.applied.proof, start={"mode": SPAWN if reason else FORK, "reason": reason})
        known.applied = msgspec.structs.replace(known.applied, proof=proof)
        return True

    def start_failed(
        self, revision: RevisionId, message: str, started: float, now: float, *, forked: bool = False
    ) -> None:
        """A replica that was started at `started` never became ready. After a fork that did not, one is spawned."""
        known = self.revisions.get(revision)
        if known is not None and forked:
            known.refused = message
        elif known is not None:
            known.failures = known.failures.start_failed(message, started, now, self._max_backoff)

    def ended(self, facts: ReplicaFacts, status: int | None, now: float) -> str:
        """A replica's process has ended. The sentence on it, empty when it was asked to end."""
        self.replicas.pop(facts.id, None)
        if facts.state is ReplicaState.DRAINING:
            return ""
        starting = facts.state is ReplicaState.STARTING
        message = endings.sentence(status, starting=starting)
        known = self.revisions.get(facts.revision)
        if known is not None and starting:
            self.start_failed(facts.revision, message, facts.since, now, forked=facts.forked)
        elif known is not None and endings.signal_of(status) == signal.SIGALRM:
            known.failures = replace(known.failures, message=message)
        elif known is not None:
            known.failures = known.failures.crashed(message, facts.since, now, self._max_backoff)
        return message

    # --- what is reported

    def observations(self) -> Mapping[RevisionId, RevisionObservation]:
        """All that is held, until its last process has ended."""
        running: dict[RevisionId, list[Replica]] = defaultdict(list)
        for process in self.replicas.values():
            running[process.facts.revision].append(process.replica)
        return {
            revision: self._observation(one, tuple(running.get(revision, ())))
            for revision, one in self.revisions.items()
        }

    def _observation(self, one: HeldRevision, replicas: tuple[Replica, ...]) -> RevisionObservation:
        failures = one.failures
        return RevisionObservation(one.applied.target, replicas, failures.starts, failures.message, one.applied.proof)

    def news(self, told: Mapping[RevisionId, RevisionAddresses | None]) -> Iterable[RevisionAddresses]:
        """The addresses that are not as they were told. Most revisions rest, and are looked at no closer."""
        running = {process.facts.revision for process in self.replicas.values()}
        for revision, was in told.items():
            known = self.revisions.get(revision)
            rests = known is not None and known.at_rest and revision not in running
            if rests and was is not None and was.known and not was.replicas and not was.message:
                continue
            addresses = self.addresses(revision)
            if addresses != was:
                yield addresses

    def addresses(self, revision: RevisionId) -> RevisionAddresses:
        """What gateways are told of a revision."""
        known = self.revisions.get(revision)
        if known is None or known.applied.removing:
            return RevisionAddresses(revision, known=False)
        ready = tuple(
            (replica.facts.id, replica.record.address)
            for replica in self.replicas.values()
            if replica.facts.revision == revision and replica.facts.state is ReplicaState.READY
        )
        message = known.failures.message if known.failures.starts and not ready else ""
        return RevisionAddresses(revision, True, ready, message)
