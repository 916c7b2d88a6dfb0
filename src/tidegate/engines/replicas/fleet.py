"""What an agent holds and what runs of it, in memory: the account from which it decides and reports. No I/O."""

import math
import signal
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from tidegate.core.endpoint.revision import (
    Notice,
    Proof,
    Replica,
    ReplicaId,
    ReplicaState,
    RevisionAddresses,
    RevisionId,
    RevisionObservation,
    RevisionTarget,
)
from tidegate.engines.replicas import endings
from tidegate.engines.replicas.applied_targets import Applied
from tidegate.engines.replicas.launcher import launch_digest
from tidegate.engines.replicas.replica_process import Costs, ReplicaProcess, Words
from tidegate.engines.scheduling.capacity import gb
from tidegate.engines.scheduling.facts import Limits, ReplicaFacts, RevisionFacts
from tidegate.engines.scheduling.restart_backoff import Failures
from tidegate.engines.scheduling.schedule import HOUR_SECONDS, Decision, decide, replaceable
from tidegate.engines.templates.templates import Templates

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
    evicted: bool = False
    awaited: bool = False
    used_at: float = -math.inf
    expected_bytes: int = 0
    replaced_at: tuple[float, ...] = ()
    blocked: str = ""  # why there is no room for a replica of it
    blocked_told_at: float = -math.inf
    ended_told_at: float = -math.inf
    spared: str = ""  # why a replica over its limit is let be
    notices: deque[Notice] = field(default_factory=lambda: deque(maxlen=MAX_NOTICES))

    @property
    def start_mode(self) -> str:
        """How its replicas start, once that was tried: "fork" or "spawn"; else empty."""
        start = self.applied.proof.start if self.applied.proof is not None else None
        return str(start["mode"]) if start else ""

    @property
    def untested(self) -> bool:
        """Whether a replica of it was ready, and nobody knows whether one can be forked: it is to be tried."""
        return self.applied.proof is not None and not self.start_mode and not self.applied.removing

    def held(self, templates: Templates, now: float) -> RevisionFacts:
        """What decisions are made from. One of which no replica was ever ready may try a fork at once.

        A start of one that is to be tried waits for that: both at a time would take twice as long.
        """
        target, proof, key = self.applied.target, self.applied.proof, self.template
        may_fork = not self.refused and (proof is None or self.start_mode == FORK)
        known_to_fork = may_fork and proof is not None
        template_until = -math.inf
        if known_to_fork or self.untested:
            template_until = templates.awaited_until(key, now)
        if self.untested:
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
        """Whether it is to have no replica: once it has none, nothing is to be decided."""
        target = self.applied.target
        wanted = not self.evicted and (target.replicas or target.min_replicas)
        return not (wanted or self.applied.removing)

    def note(self, at: float, kind: str, message: str) -> None:
        """Tell its owner; the oldest that was told is forgotten. `at` is unix seconds."""
        last = self.notices[-1].at if self.notices else -math.inf
        self.notices.append(Notice(max(at, last + 0.001), kind, message))


MAX_NOTICES = 20
# That there is no room for a revision, or that replicas end, is told so often while it lasts or comes back.
TELL_AGAIN_SECONDS = 60.0


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
        running = {one.revision for one in facts}
        awake = {} if ending else self.revisions
        held = {rid: one.held(self._templates, now) for rid, one in awake.items() if rid in running or not one.at_rest}
        return decide(held, facts, limits, now)

    # --- what is held

    def hold(self, applied: Applied) -> None:
        """Hold this from now on. Another launch than before is a new beginning: earlier failures do not count."""
        launch = launch_digest(applied.target)
        known = self.revisions.get(applied.target.revision)
        if known is None or known.launch != launch or known.applied.removing:
            template = self._templates.key_of(applied.target)
            fresh = self.revisions[applied.target.revision] = HeldRevision(applied, launch, template)
            fresh.notices.extend(known.notices if known else ())
        else:
            known.evicted &= not applied.target.min_replicas  # what was parked serves again, and may not sleep
            known.applied = applied

    def applied(self, target: RevisionTarget) -> Applied:
        """The target as it will be held, with the proof that is on record."""
        known = self.revisions.get(target.revision)
        if known is None:
            return Applied(target, proof=target.proof)
        return Applied(target, proof=known.applied.proof or target.proof, answer=known.applied.answer)

    def wake(self, revision: RevisionId, now: float) -> bool:
        """Hold at least one replica of it: somebody waits. Whether that changes what is held."""
        known = self.revisions.get(revision)
        if known is None or known.applied.removing:
            return False
        if known.evicted or not known.applied.target.replicas:
            known.woken_at = now
        known.evicted, known.awaited, known.used_at = False, True, now
        if known.applied.target.replicas > 0:
            return False
        known.applied = msgspec.structs.replace(known.applied, target=replace(known.applied.target, replicas=1))
        return True

    def used(self, revisions: Iterable[RevisionId], now: float) -> None:
        """Gateways have requests of these."""
        for revision in revisions:
            if known := self.revisions.get(revision):
                known.used_at = now

    # --- room

    def evict(self, revision: RevisionId, room_for: str, now: float, at: float) -> None:
        """Take it down to zero until somebody wakes it. `at` is unix seconds."""
        one = self.revisions[revision]
        one.evicted = True
        mine = [replica for replica in self.replicas.values() if replica.facts.revision == revision]
        freed = gb(sum(replica.usage.memory_bytes for replica in mine))
        since = now - max([one.used_at, *(replica.facts.since for replica in mine)])
        whom = f"for '{room_for}'" if room_for else "because the machine's replicas use more than there is"
        one.note(at, "evicted", f"Idle for {since:.0f} s: it made room ({freed}) {whom}. The next request wakes it.")

    def refused(self, refused: Mapping[RevisionId, str], now: float, at: float) -> None:
        """There is no room for these, and for no others."""
        for revision, one in self.revisions.items():
            sentence = refused.get(revision, "")
            if sentence and now - one.blocked_told_at >= TELL_AGAIN_SECONDS:
                one.note(at, "no_capacity", sentence)
                one.blocked_told_at = now
            one.blocked = sentence

    def measured(self, at: float) -> None:
        """Take what was measured into the account. `at` is unix seconds."""
        for replica in self.replicas.values():
            facts, memory = replica.facts, replica.usage.memory_bytes
            known = self.revisions.get(facts.revision)
            if known is not None and memory and facts.state is ReplicaState.READY and not facts.ready_bytes:
                known.expected_bytes = memory
                facts = replace(facts, ready_bytes=memory)
                self._born(known, memory, at)
            replica.facts = replace(facts, memory_bytes=memory)
            if known is not None and known.spared and memory <= known.applied.target.memory_bytes:
                known.spared = ""

    def _born(self, known: HeldRevision, memory: int, at: float) -> None:
        """What a replica uses when it becomes ready: where that is over the limit, another would be no smaller."""
        limit = known.applied.target.memory_bytes
        if 0 < limit < memory and not known.spared:
            known.spared = (
                f"The model takes {gb(memory)} merely to load, over its {gb(limit)}; its replicas are let be. "
            )
            known.spared += "Give it a larger workload_type."
            known.note(at, "memory_limit", known.spared)

    def outgrown(self, identity: ReplicaId, now: float, at: float) -> str:
        """A replica is over its memory limit; another is to take its place. The sentence on it."""
        replica = self.replicas[identity]
        facts, one = replica.facts, self.revisions[replica.facts.revision]
        target = one.applied.target
        used, limit = gb(facts.memory_bytes), gb(target.memory_bytes)
        if facts.state is ReplicaState.STARTING:
            return f"Loading the model took {used}, over its {limit}. Give it a larger workload_type."
        message = f"Replica {identity} used {used}, over its {limit}; a new one takes its place."
        if not facts.outgrown:
            one.replaced_at = (*(t for t in one.replaced_at if now - t < HOUR_SECONDS), now)
            one.spared = "" if replaceable(target, one.replaced_at, now) else _spared(len(one.replaced_at), limit)
            one.note(at, "memory_limit", f"{message} {one.spared}".rstrip())
            replica.facts = replace(facts, outgrown=True)
        return message

    # --- what happens to replicas

    def ready(self, facts: ReplicaFacts, proof: Proof | None, answer: str | None) -> bool:
        """A replica can predict. Whether its proof is news."""
        known = self.revisions.get(facts.revision)
        if known is None:
            return False
        known.failures, refused, known.refused = known.failures.became_ready(), known.refused, ""
        known.awaited = False
        if proof is None or known.applied.proof is not None:
            return False
        if facts.forked:
            proof = replace(proof, start={"mode": FORK, "reason": ""})
        elif refused:
            proof = replace(proof, start={"mode": SPAWN, "reason": refused})
        known.applied = msgspec.structs.replace(known.applied, proof=proof, answer=answer)
        return True

    def serves(self, revision: RevisionId, path: Words, batching: Words, at: float, costs: Costs = ()) -> str | None:
        """A replica of it serves in another way than was proved. None when that is known; else the sentence on it,
        empty where only what it covers has changed.
        """
        known = self.revisions.get(revision)
        if known is None or known.applied.proof is None:
            return None
        proof = replace(known.applied.proof, path=path, batching=batching)
        if proof == known.applied.proof:
            return None
        before = _serving(known.applied.proof.path or {}, known.applied.proof.batching or {})
        proof = replace(proof, costs=costs or proof.costs)
        known.applied = msgspec.structs.replace(known.applied, proof=proof)
        sentence = _serving(path, batching)
        if sentence == before:
            return ""
        known.note(at, "serving", sentence)
        return sentence

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

    def overdue(self, identity: ReplicaId, now: float, at: float) -> str:
        """A replica did not come back at its deadline, and is ended. The sentence on it. `at` is unix seconds."""
        facts = self.replicas[identity].facts
        message = endings.overdue(starting=facts.state is ReplicaState.STARTING)
        known = self.revisions.get(facts.revision)
        if known is not None and facts.state is ReplicaState.READY:
            known.failures = replace(known.failures, message=message)
            self._tell_of_end(known, message, now, at)
        return message

    def _tell_of_end(self, known: HeldRevision, message: str, now: float, at: float) -> None:
        if now - known.ended_told_at >= TELL_AGAIN_SECONDS:
            known.note(at, "replica_ended", message)
            known.ended_told_at = now

    def ended(self, facts: ReplicaFacts, status: int | None, now: float, at: float) -> str:
        """A replica's process has ended. The sentence on it, empty when it was asked to end. `at` is unix seconds."""
        self.replicas.pop(facts.id, None)
        if facts.state is ReplicaState.DRAINING:
            return ""
        starting = facts.state is ReplicaState.STARTING
        message = endings.sentence(status, starting=starting)
        known = self.revisions.get(facts.revision)
        if known is not None and starting:
            self.start_failed(facts.revision, message, facts.since, now, forked=facts.forked)
            return message
        if known is not None and not facts.outgrown:
            self._tell_of_end(known, message, now, at)
        if known is not None and endings.signal_of(status) == signal.SIGALRM:
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
        message = one.failures.message or one.blocked or one.spared
        return RevisionObservation(
            one.applied.target, replicas, one.failures.starts, message, one.applied.proof, tuple(one.notices)
        )

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
        failed = known.failures.message if known.failures.starts else ""
        return RevisionAddresses(revision, True, ready, "" if ready else failed or known.blocked)


def _serving(path: Words, batching: Words) -> str:
    reasons = [str(words["reason"]) for words in (path, batching) if words.get("reason")]
    sentence = f"Batching is {batching.get('mode')}, requests take the {path.get('mode')} path"
    return sentence + (f": {'; '.join(dict.fromkeys(reasons))}." if reasons else ".")


def _spared(replaced: int, limit: str) -> str:
    return (
        f"That makes {replaced} within an hour: replicas over {limit} are let be for now. "
        "Give it a larger workload_type, or find what its model keeps."
    )
