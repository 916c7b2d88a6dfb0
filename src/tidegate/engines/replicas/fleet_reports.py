"""What the agent reports of its fleet: observations for control, and the addresses of ready replicas for gateways."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tidegate.core.endpoint.machine_report import MachineReport, MemoryHolder
from tidegate.core.endpoint.revision import (
    Replica,
    ReplicaState,
    RevisionAddresses,
    RevisionId,
    RevisionObservation,
)
from tidegate.engines.replicas.fleet import Fleet
from tidegate.engines.replicas.held_revision import HeldRevision
from tidegate.engines.scheduling.capacity import Machine, MemoryUser, eviction_order
from tidegate.engines.scheduling.machine_account import memory_users
from tidegate.engines.templates.templates import Templates


def observations(fleet: Fleet) -> Mapping[RevisionId, RevisionObservation]:
    """All held revisions. A removed one is among them until its last process has ended."""
    running: dict[RevisionId, list[Replica]] = defaultdict(list)
    for process in fleet.replicas.values():
        running[process.facts.revision].append(process.replica)
    return {
        revision: RevisionObservation(
            held.applied.target,
            tuple(running.get(revision, ())),
            held.failures.starts,
            held.failures.message or held.no_capacity or held.over_limit,
            held.applied.proof,
            tuple(held.notices),
            held.failed_loaded_at,
        )
        for revision, held in fleet.revisions.items()
    }


def machine_report(fleet: Fleet, templates: Templates, machine: Machine, now: float) -> MachineReport:
    """The machine's account. `now` is monotonic seconds."""
    replicas = [*(process.facts for process in fleet.replicas.values()), *fleet.forking.values()]
    running = {replica.revision for replica in replicas}
    held = {rid: known for rid, known in fleet.revisions.items() if rid in running}
    users = memory_users({rid: known.facts(templates, now) for rid, known in held.items()}, replicas, (), now)
    mine: dict[RevisionId, list[MemoryUser]] = defaultdict(list)
    for user in users:
        mine[user.revision].append(user)
    return MachineReport(
        machine.cores,
        machine.memory_bytes,
        machine.gpus,
        tuple(_holder(rid, held.get(rid), own) for rid, own in mine.items()),
        tuple(templates.reports(now)),
        eviction_order(users),
        os.getpid(),
    )


def _holder(revision: RevisionId, held: HeldRevision | None, users: Sequence[MemoryUser]) -> MemoryHolder:
    return MemoryHolder(
        revision,
        users[0].endpoint,
        held.applied.target.served_entity if held is not None else "",
        len(users),
        sum(user.memory_bytes for user in users),
        min(user.idle_seconds for user in users),
        stays=users[0].stays,
        parked=users[0].parked,
    )


def changed_addresses(fleet: Fleet, sent: Mapping[RevisionId, RevisionAddresses | None]) -> Iterator[RevisionAddresses]:
    """The addresses that differ from those that were `sent` last. Of revisions at rest nothing is computed."""
    running = {process.facts.revision for process in fleet.replicas.values()}
    for revision, before in sent.items():
        held = fleet.revisions.get(revision)
        rests = held is not None and held.at_rest and revision not in running
        if rests and before is not None and before.known and not before.replicas and not before.message:
            continue
        addresses = addresses_of(fleet, revision)
        if addresses != before:
            yield addresses


def addresses_of(fleet: Fleet, revision: RevisionId) -> RevisionAddresses:
    """Where the ready replicas of a revision listen; while there is none, the sentence that says why, if anything."""
    held = fleet.revisions.get(revision)
    if held is None or held.applied.removing:
        return RevisionAddresses(revision, known=False)
    ready = tuple(
        (replica.facts.id, replica.record.address)
        for replica in fleet.replicas.values()
        if replica.facts.revision == revision and replica.facts.state is ReplicaState.READY
    )
    failed = held.failures.message if held.failures.starts else ""
    return RevisionAddresses(revision, True, ready, "" if ready else failed or held.no_capacity)
