"""The machine's account, drawn up from what an agent holds and what runs; `capacity` decides from it."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from tidegate.core.endpoint.revision import ReplicaId, ReplicaState, RevisionId
from tidegate.engines.scheduling.capacity import ESTIMATE_BYTES, Machine, Tenant, Verdict, Wish, admit
from tidegate.engines.scheduling.facts import Limits, ReplicaFacts, RevisionFacts


def room(
    line: Sequence[RevisionId],
    held: Mapping[RevisionId, RevisionFacts],
    replicas: Sequence[ReplicaFacts],
    leaving: Collection[ReplicaId],
    limits: Limits,
    now: float,
) -> Verdict:
    """Which of the starts in line have room on the machine. `leaving` are replicas that are about to end."""
    if not limits.memory_bytes:
        return Verdict(tuple(line))
    wishes = [Wish(rid, held[rid].target.endpoint, _expected(held[rid]), held[rid].is_awaited(now)) for rid in line]
    running: defaultdict[RevisionId, list[ReplicaFacts]] = defaultdict(list)
    for replica in replicas:
        running[replica.revision].append(replica)
    idle = {rid: _idle_seconds(held[rid], mine, now) for rid, mine in running.items() if rid in held}
    tenants = [_tenant(replica, held.get(replica.revision), idle, leaving) for replica in replicas]
    return admit(wishes, tenants, Machine(limits.memory_bytes, limits.cores), limits.templates_bytes)


def _tenant(
    replica: ReplicaFacts, one: RevisionFacts | None, idle: Mapping[RevisionId, float], leaving: Collection[ReplicaId]
) -> Tenant:
    ends = replica.state is ReplicaState.DRAINING or replica.id in leaving
    return Tenant(
        replica.id,
        replica.revision,
        one.target.endpoint if one else replica.revision,
        replica.memory_bytes or (_expected(one) if one else ESTIMATE_BYTES),
        leaving=ends or one is None or one.evicted,
        stays=one is not None and one.target.min_replicas > 0,
        idle_seconds=idle.get(replica.revision, 0.0),
        outgrown=replica.outgrown,
        parked=one is not None and one.target.parked,
    )


def _expected(held: RevisionFacts) -> int:
    limit = held.target.memory_bytes
    return held.expected_bytes or (min(ESTIMATE_BYTES, limit) if limit else ESTIMATE_BYTES)


def _idle_seconds(held: RevisionFacts, mine: Sequence[ReplicaFacts], now: float) -> float:
    """For how long nobody has used it. Who has just started has not been asked yet; and until control knows that it is
    proved, it waits to see a replica of it.
    """
    if not held.target.proved or any(replica.state is ReplicaState.STARTING for replica in mine):
        return 0.0
    return now - max([held.used_at, *(replica.since for replica in mine)])
