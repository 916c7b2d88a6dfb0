"""What the agent reports of its fleet: observations for control, and the addresses of ready replicas for gateways."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from tidegate.core.endpoint.revision import (
    Replica,
    ReplicaState,
    RevisionAddresses,
    RevisionId,
    RevisionObservation,
)
from tidegate.engines.replicas.fleet import Fleet


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
