"""The agent's state in memory: the revisions that it holds and their replicas. The schedule decides from it. No I/O."""

import signal
from collections.abc import Iterable, Mapping
from dataclasses import replace

import msgspec

from tidegate.core.endpoint.revision import (
    Proof,
    ReplicaId,
    ReplicaState,
    RevisionId,
    RevisionTarget,
)
from tidegate.engines.replicas import endings
from tidegate.engines.replicas.applied_targets import AppliedTarget
from tidegate.engines.replicas.held_revision import FORK, SPAWN, HeldRevision
from tidegate.engines.replicas.launcher import launch_digest
from tidegate.engines.replicas.replica_process import Costs, ReplicaProcess, ServingMode
from tidegate.engines.scheduling.facts import Limits, ReplicaFacts
from tidegate.engines.scheduling.memory_amount import gb
from tidegate.engines.scheduling.schedule import HOUR_SECONDS, Decision, decide, replaceable
from tidegate.engines.templates.templates import Templates

# A revision gets a notice of the same kind (no capacity, a replica that ended) at most once in this many seconds.
NOTICE_SECONDS = 60.0


class Fleet:
    """Revisions and replicas. In all methods `now` is monotonic seconds, and `at` is unix seconds."""

    def __init__(self, max_backoff: float, templates: Templates) -> None:
        self.revisions: dict[RevisionId, HeldRevision] = {}
        self.replicas: dict[ReplicaId, ReplicaProcess] = {}
        self.forking: dict[ReplicaId, ReplicaFacts] = {}  # a template is asked for these replicas
        self._max_backoff = max_backoff
        self._templates = templates

    @property
    def empty(self) -> bool:
        """Whether nothing runs."""
        return not self.replicas and not self.forking

    def decide(self, limits: Limits, now: float, *, ending: bool) -> Decision:
        """The actions that are due. While the platform is `ending`, no revision is held: every replica is drained."""
        facts = [*(replica.facts for replica in self.replicas.values()), *self.forking.values()]
        running = {replica.revision for replica in facts}
        revisions = {
            rid: held.facts(self._templates, now)
            for rid, held in ({} if ending else self.revisions).items()
            if rid in running or not held.at_rest
        }
        return decide(revisions, facts, limits, now)

    # --- what is held

    def hold(self, applied: AppliedTarget) -> None:
        """Hold this target from now on. Where its launch is another one, earlier failures do not count."""
        launch = launch_digest(applied.target)
        known = self.revisions.get(applied.target.revision)
        if known is None or known.launch != launch or known.applied.removing:
            template = self._templates.key_of(applied.target)
            fresh = self.revisions[applied.target.revision] = HeldRevision(applied, launch, template)
            fresh.notices.extend(known.notices if known else ())
        else:
            known.evicted &= not applied.target.min_replicas  # it was parked, serves again, and must have a replica
            known.applied = applied

    def applied(self, target: RevisionTarget) -> AppliedTarget:
        """The target with the proof that is on record."""
        known = self.revisions.get(target.revision)
        if known is None:
            return AppliedTarget(target, proof=target.proof)
        return AppliedTarget(target, proof=known.applied.proof or target.proof, answer=known.applied.answer)

    def wake(self, revision: RevisionId, now: float) -> bool:
        """Hold at least one replica of it, as a request waits for one. Returns whether the target has changed."""
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
        """Note that gateways have requests for these revisions."""
        for revision in revisions:
            if known := self.revisions.get(revision):
                known.used_at = now

    # --- memory

    def evict(self, revision: RevisionId, room_for: str, now: float, at: float) -> None:
        """Take a revision down to zero replicas until it is woken. `room_for` names the endpoint that needs memory."""
        held = self.revisions[revision]
        held.evicted = True
        mine = [replica for replica in self.replicas.values() if replica.facts.revision == revision]
        freed = gb(sum(replica.usage.memory_bytes for replica in mine))
        since = now - max([held.used_at, *(replica.facts.since for replica in mine)])
        whom = f"for '{room_for}'" if room_for else "because the machine's replicas use more than there is"
        held.note(at, "evicted", f"Idle for {since:.0f} s: it made room ({freed}) {whom}. The next request wakes it.")

    def note_capacity(self, refused: Mapping[RevisionId, str], now: float, at: float) -> None:
        """Note for which revisions the machine has no memory, each with its sentence. All others have enough."""
        for revision, held in self.revisions.items():
            sentence = refused.get(revision, "")
            if sentence and now - held.no_capacity_noted_at >= NOTICE_SECONDS:
                held.note(at, "no_capacity", sentence)
                held.no_capacity_noted_at = now
            held.no_capacity = sentence

    def measured(self, at: float) -> None:
        """Take over the memory that was measured of each replica."""
        for replica in self.replicas.values():
            facts, memory = replica.facts, replica.usage.memory_bytes
            known = self.revisions.get(facts.revision)
            if known is not None and memory and facts.state is ReplicaState.READY and not facts.ready_bytes:
                known.expected_bytes = memory
                facts = replace(facts, ready_bytes=memory)
                self._check_loaded_size(known, memory, at)
            replica.facts = replace(facts, memory_bytes=memory)
            if known is not None and known.over_limit and memory <= known.applied.target.memory_bytes:
                known.over_limit = ""

    def _check_loaded_size(self, known: HeldRevision, memory: int, at: float) -> None:
        """Note a replica that is over its limit once it is ready. It is not replaced: a new one would be as large."""
        limit = known.applied.target.memory_bytes
        if 0 < limit < memory and not known.over_limit:
            known.over_limit = (
                f"The model takes {gb(memory)} merely to load, over its limit of {gb(limit)}; its replicas are not "
                "replaced. Give it a larger workload_type."
            )
            known.note(at, "memory_limit", known.over_limit)

    def outgrown(self, identity: ReplicaId, now: float, at: float) -> str:
        """Note that a replica is over its memory limit, and that a new one takes its place. Returns the sentence."""
        replica = self.replicas[identity]
        facts, held = replica.facts, self.revisions[replica.facts.revision]
        target = held.applied.target
        used, limit = gb(facts.memory_bytes), gb(target.memory_bytes)
        if facts.state is ReplicaState.STARTING:
            return f"Loading the model took {used}, over its limit of {limit}. Give it a larger workload_type."
        message = f"Replica {identity} used {used}, over its limit of {limit}; a new one takes its place."
        if not facts.outgrown:
            held.replaced_at = (*(t for t in held.replaced_at if now - t < HOUR_SECONDS), now)
            may_replace = replaceable(target, held.replaced_at, now)
            held.over_limit = "" if may_replace else _no_more_replacements(len(held.replaced_at), limit)
            held.note(at, "memory_limit", f"{message} {held.over_limit}".rstrip())
            replica.facts = replace(facts, outgrown=True)
        return message

    # --- what becomes of replicas

    def ready(self, facts: ReplicaFacts, proof: Proof | None, answer: str | None) -> bool:
        """Note that a replica is ready. Returns whether its proof is new and must be kept."""
        known = self.revisions.get(facts.revision)
        if known is None:
            return False
        known.failures, fork_failure, known.fork_failure = known.failures.became_ready(), known.fork_failure, ""
        known.awaited = False
        if proof is None or known.applied.proof is not None:
            return False
        if facts.forked:
            proof = replace(proof, start={"mode": FORK, "reason": ""})
        elif fork_failure:
            proof = replace(proof, start={"mode": SPAWN, "reason": fork_failure})
        known.applied = msgspec.structs.replace(known.applied, proof=proof, answer=answer)
        return True

    def serves(
        self, revision: RevisionId, path: ServingMode, batching: ServingMode, at: float, costs: Costs = ()
    ) -> str | None:
        """Note that a replica serves in another way than its proof says.

        Returns None where that is known already, and else the sentence on it: empty where the modes are the same and
        only details have changed.
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
        """Note the result of a fork trial: `reason` is why replicas cannot be forked, empty when they can.

        Returns whether the result must be kept.
        """
        known = self.revisions.get(revision)
        if known is None or known.applied.proof is None:
            return False
        proof = replace(known.applied.proof, start={"mode": SPAWN if reason else FORK, "reason": reason})
        known.applied = msgspec.structs.replace(known.applied, proof=proof)
        return True

    def start_failed(
        self,
        revision: RevisionId,
        message: str,
        started: float,
        now: float,
        *,
        forked: bool = False,
        loaded_at: float = 0.0,
    ) -> None:
        """Note that a replica which was started at `started` never became ready. After a failed fork the next one is
        spawned, without a pause. `loaded_at` is when it had loaded its model, unix seconds; 0 where it had not.
        """
        known = self.revisions.get(revision)
        if known is not None and forked:
            known.fork_failure = message
        elif known is not None:
            known.failures = known.failures.start_failed(message, started, now, self._max_backoff)
            known.failed_loaded_at = loaded_at

    def overdue(self, identity: ReplicaId, now: float, at: float) -> str:
        """Note that a replica which missed its deadline is ended. Returns the sentence on it."""
        facts = self.replicas[identity].facts
        message = endings.overdue(starting=facts.state is ReplicaState.STARTING)
        known = self.revisions.get(facts.revision)
        if known is not None and facts.state is ReplicaState.READY:
            known.failures = replace(known.failures, message=message)
            self._note_end(known, message, now, at)
        return message

    def _note_end(self, known: HeldRevision, message: str, now: float, at: float) -> None:
        if now - known.ended_noted_at >= NOTICE_SECONDS:
            known.note(at, "replica_ended", message)
            known.ended_noted_at = now

    def ended(self, facts: ReplicaFacts, status: int | None, now: float, at: float) -> str:
        """Note that a replica's process has ended. Returns the sentence on it, empty where it was asked to end."""
        process = self.replicas.pop(facts.id, None)
        if facts.state is ReplicaState.DRAINING:
            return ""
        starting = facts.state is ReplicaState.STARTING
        message = endings.sentence(status, starting=starting)
        known = self.revisions.get(facts.revision)
        if known is not None and starting:
            loaded_at = process.loaded_at if process is not None else 0.0
            self.start_failed(facts.revision, message, facts.since, now, forked=facts.forked, loaded_at=loaded_at)
            return message
        if known is not None and not facts.outgrown:
            self._note_end(known, message, now, at)
        if known is not None and endings.signal_of(status) == signal.SIGALRM:
            known.failures = replace(known.failures, message=message)
        elif known is not None:
            known.failures = known.failures.crashed(message, facts.since, now, self._max_backoff)
        return message


def _serving(path: ServingMode, batching: ServingMode) -> str:
    reasons = [str(mode["reason"]) for mode in (path, batching) if mode.get("reason")]
    sentence = f"Batching is {batching.get('mode')}, requests take the {path.get('mode')} path"
    return sentence + (f": {'; '.join(dict.fromkeys(reasons))}." if reasons else ".")


def _no_more_replacements(replaced: int, limit: str) -> str:
    return (
        f"That makes {replaced} within an hour: replicas over {limit} are not replaced for now. "
        "Give it a larger workload_type, or find what its model keeps."
    )
