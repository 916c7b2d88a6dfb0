"""Draws up the machine's memory account from the agent's facts, and has `capacity` decide which starts fit."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from tidegate.core.endpoint.revision import ReplicaId, ReplicaState, RevisionId
from tidegate.engines.scheduling.capacity import ESTIMATE_BYTES, Admitted, Machine, MemoryUser, StartRequest, admit
from tidegate.engines.scheduling.facts import Limits, ReplicaFacts, RevisionFacts


def admit_starts(
    line: Sequence[RevisionId],
    revisions: Mapping[RevisionId, RevisionFacts],
    replicas: Sequence[ReplicaFacts],
    leaving: Collection[ReplicaId],
    limits: Limits,
    now: float,
) -> Admitted:
    """Which of the starts in `line` fit on the machine. `leaving` are replicas that are about to end."""
    if not limits.memory_bytes:
        return Admitted(tuple(line))
    requests = [
        StartRequest(rid, facts.target.endpoint, _expected(facts), facts.is_awaited(now))
        for rid in line
        for facts in [revisions[rid]]
    ]
    users = memory_users(revisions, replicas, leaving, now)
    return admit(requests, users, Machine(limits.memory_bytes, limits.cores), limits.templates_bytes)


def memory_users(
    revisions: Mapping[RevisionId, RevisionFacts],
    replicas: Sequence[ReplicaFacts],
    leaving: Collection[ReplicaId],
    now: float,
) -> list[MemoryUser]:
    """All replicas as the account has them."""
    running: defaultdict[RevisionId, list[ReplicaFacts]] = defaultdict(list)
    for replica in replicas:
        running[replica.revision].append(replica)
    idle = {rid: _idle_seconds(revisions[rid], mine, now) for rid, mine in running.items() if rid in revisions}
    return [_memory_user(replica, revisions.get(replica.revision), idle, leaving) for replica in replicas]


def _memory_user(
    replica: ReplicaFacts, held: RevisionFacts | None, idle: Mapping[RevisionId, float], leaving: Collection[ReplicaId]
) -> MemoryUser:
    ends = replica.state is ReplicaState.DRAINING or replica.id in leaving
    return MemoryUser(
        replica.id,
        replica.revision,
        held.target.endpoint if held else replica.revision,
        replica.memory_bytes or (_expected(held) if held else ESTIMATE_BYTES),
        leaving=ends or held is None or held.evicted,
        stays=held is not None and held.target.min_replicas > 0,
        idle_seconds=idle.get(replica.revision, 0.0),
        outgrown=replica.outgrown,
        parked=held is not None and held.target.parked,
    )


def _expected(held: RevisionFacts) -> int:
    limit = held.target.memory_bytes
    return held.expected_bytes or (min(ESTIMATE_BYTES, limit) if limit else ESTIMATE_BYTES)


def _idle_seconds(held: RevisionFacts, mine: Sequence[ReplicaFacts], now: float) -> float:
    """How long a revision has had no request, in seconds.

    It is 0 while a replica is starting, which no request could use yet. It is also 0 until control knows the revision's
    proof, as control waits for a ready replica until then.
    """
    if not held.target.proved or any(replica.state is ReplicaState.STARTING for replica in mine):
        return 0.0
    return now - max([held.used_at, *(replica.since for replica in mine)])
