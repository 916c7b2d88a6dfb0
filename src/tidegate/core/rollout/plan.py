"""The plan: a pure function from a snapshot of the world to the actions that bring it nearer to what owners asked for.

It remembers nothing between two calls. Creation, update, deletion, recovery and restart differ only in the snapshot,
and a failed action is planned again. The order of the actions keeps endpoints serving: start the new revisions, wait
for their proofs, switch all routes at once, wait until every gateway follows, and then drain the old revisions.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.retention import outdated
from tidegate.core.endpoint.revision import (
    Proof,
    Revision,
    RevisionId,
    RevisionObservation,
    revision_id,
)
from tidegate.core.endpoint.served_entity import ServedEntity
from tidegate.core.rollout.action import (
    Abandon,
    Action,
    Apply,
    Drop,
    FailUpdate,
    Forget,
    Learn,
    Move,
    Prepare,
    Promote,
    Record,
    Remove,
    Try,
)
from tidegate.core.rollout.gate import is_replayed_on, judge, policy_of, replays_of, report_without_gate
from tidegate.core.rollout.parking import must_wake
from tidegate.core.rollout.snapshot import Preparation, PreparationState, Snapshot
from tidegate.core.rollout.targets import batching_of, needs_no_replica, target_of

# A revision of which no replica was ever ready is given up after this many failed starts in a row.
MAX_FAILED_STARTS = 2


def plan(snapshot: Snapshot) -> tuple[Action, ...]:
    """The actions that are due now, in order; empty when nothing is left to do."""
    actions: list[Action] = []
    owned: dict[str, list[Revision]] = defaultdict(list)
    for revision in snapshot.revisions.values():
        owned[revision.endpoint_id].append(revision)
    for endpoint in snapshot.endpoints:
        wanted = {
            revision_id(endpoint.id, entity): entity for config in endpoint.configs for entity in config.served_entities
        }
        for rid, entity in wanted.items():
            actions += _advance(snapshot, endpoint, rid, entity)
        actions += _roll_out(snapshot, endpoint)
        mine = owned[endpoint.id]
        for revision in mine:
            if revision.id not in wanted:
                actions += _wind_down(snapshot, revision)
        if endpoint.deleted_at is None:
            actions += _drop_outdated(snapshot, endpoint, mine)
        elif all(_gone(snapshot, revision) for revision in mine):
            actions.append(Forget(endpoint))
    actions += _remove_unknown_targets(snapshot)
    return tuple(actions)


def _advance(snapshot: Snapshot, endpoint: Endpoint, rid: RevisionId, entity: ServedEntity) -> Iterator[Action]:
    """The next step of a wanted revision towards READY."""
    revision = snapshot.revisions.get(rid)
    if revision is None:
        yield Record(Revision(rid, endpoint.id, endpoint.name, entity, endpoint.generation))
        return
    match revision.state:
        case RevisionState.PENDING:
            yield Prepare(revision)
            yield Move(rid, RevisionState.PREPARING)
        case RevisionState.PREPARING:
            yield from _after_preparation(snapshot, revision, snapshot.preparations.get(rid))
        case RevisionState.STARTING:
            yield from _after_start(snapshot, revision)
        case RevisionState.READY:
            yield from _new_proof(snapshot, revision)
            fewest = 1 if is_replayed_on(endpoint, entity, snapshot.gate) else 0  # a replay needs a replica
            yield from _apply_target(snapshot, revision, fewest, parked=endpoint.parks(entity))
        case RevisionState.FAILED if revision.generation != endpoint.generation:
            yield Move(rid, RevisionState.PENDING, generation=endpoint.generation)
        case RevisionState.RETIRING:
            yield Move(rid, RevisionState.STARTING, generation=endpoint.generation)
        case RevisionState.RETIRED:
            yield Move(rid, RevisionState.PENDING, generation=endpoint.generation)


def _after_preparation(snapshot: Snapshot, revision: Revision, preparation: Preparation | None) -> Iterator[Action]:
    rid = revision.id
    if preparation is None:
        yield Move(rid, RevisionState.PENDING)
    elif preparation.state is PreparationState.FAILED:
        yield Abandon(rid)
        yield Move(rid, RevisionState.FAILED, preparation.message)
    elif preparation.state is PreparationState.DONE and _absent(
        snapshot, rid
    ):  # else the engine ends the earlier replicas first
        yield Abandon(rid)
        yield Move(
            rid,
            RevisionState.STARTING,
            "A replica is being started.",
            environment=preparation.environment,
            model_dir=preparation.model_dir,
            proof=_proof_of_same_replicas(snapshot, revision.entity, preparation),
        )


def _proof_of_same_replicas(snapshot: Snapshot, entity: ServedEntity, preparation: Preparation) -> Proof | None:
    """The complete proof of another ready revision with the same model, environment and settings, if there is one."""
    sought = preparation.model_dir, preparation.environment, *_proved_with(entity)
    for other in snapshot.revisions.values():
        proof = other.proof
        if other.state is not RevisionState.READY or proof is None or proof.start is None:
            continue
        if (other.model_dir, other.environment, *_proved_with(other.entity)) == sought and not _is_failing(
            snapshot, other.id
        ):
            return proof
    return None


def _proved_with(entity: ServedEntity) -> tuple[object, ...]:
    """The settings that a proof depends on, besides the model and the environment."""
    return entity.environment_vars, entity.timeout_seconds, batching_of(entity), entity.may_be_tried


def _is_failing(snapshot: Snapshot, rid: RevisionId) -> bool:
    observation = _observation(snapshot, rid)
    return observation is None or observation.failed_starts > 0


def _after_start(snapshot: Snapshot, revision: Revision) -> Iterator[Action]:
    observation = _observation(snapshot, revision.id)
    if observation is not None and (observation.ready_replicas or needs_no_replica(revision)):
        proof = observation.proof or revision.proof
        yield Move(revision.id, RevisionState.READY, proof.warning if proof else "", proof=proof)
    elif observation is not None and observation.failed_starts >= MAX_FAILED_STARTS:
        yield Move(revision.id, RevisionState.FAILED, observation.message)
    else:
        yield from _apply_target(snapshot, revision)


def _new_proof(snapshot: Snapshot, revision: Revision) -> Iterator[Action]:
    observation = _observation(snapshot, revision.id)
    proof, known = observation.proof if observation else None, revision.proof
    if proof is None or (known is None and proof.start is None):
        return
    if known is not None:
        proof = replace(
            known,
            start=proof.start or known.start,
            path=proof.path or known.path,
            batching=proof.batching or known.batching,
            costs=proof.costs or known.costs,
        )
    if proof != known:
        yield Learn(revision.id, proof)


def _apply_target(snapshot: Snapshot, revision: Revision, fewest: int = 0, *, parked: bool = False) -> Iterator[Action]:
    if snapshot.observations is None:
        return
    memory = snapshot.memory_limits.get(revision.entity.workload_type, 0)
    observation = snapshot.observations.get(revision.id)
    target = target_of(revision, _replicas(snapshot, revision, observation, fewest), memory, parked=parked)
    if observation is None or observation.target != target:
        yield Apply(target)


def _replicas(
    snapshot: Snapshot, revision: Revision, observation: RevisionObservation | None, fewest: int
) -> int | None:
    """The number of replicas that scaling has decided, at least `fewest`.

    Before its first decision the number stays.
    """
    if revision.state is not RevisionState.READY:
        return None
    decided = snapshot.scales.get(revision.id, observation.target.replicas if observation else None)
    return decided if decided is None else max(fewest, decided)


def _roll_out(snapshot: Snapshot, endpoint: Endpoint) -> Iterator[Action]:
    """Promote a pending configuration when all its revisions are ready and it passes the gate. Give it up when one of
    them has failed. A switch that has begun is always finished.
    """
    if endpoint.switching is not None and endpoint.deleted_at is None:
        yield Promote(endpoint, endpoint.switching.report)
        return
    if endpoint.pending is None or endpoint.deleted_at is not None:
        return
    revisions = [
        snapshot.revisions.get(revision_id(endpoint.id, entity)) for entity in endpoint.pending.config.served_entities
    ]
    for revision in revisions:
        if revision and revision.state is RevisionState.FAILED and revision.generation == endpoint.generation:
            yield FailUpdate(endpoint, revision.message)
            return
    ready = [revision for revision in revisions if revision is not None and revision.state is RevisionState.READY]
    asleep = [revision.id for revision in ready if _sleeps(snapshot, endpoint, revision)]
    failing = [
        seen for rid in asleep if (seen := _observation(snapshot, rid)) and seen.failed_starts >= MAX_FAILED_STARTS
    ]
    if failing:
        yield FailUpdate(endpoint, failing[0].message)
    elif len(ready) == len(revisions) and not asleep:
        yield _ask_gate(snapshot, endpoint)


def _sleeps(snapshot: Snapshot, endpoint: Endpoint, revision: Revision) -> bool:
    """Whether the switch waits until a revision has a replica."""
    asked = is_replayed_on(endpoint, revision.entity, snapshot.gate)
    return must_wake(endpoint, revision.entity, _observation(snapshot, revision.id), asked=asked)


def _ask_gate(snapshot: Snapshot, endpoint: Endpoint) -> Action:
    """The gate's decision on a pending configuration that is ready."""
    policy, replays = policy_of(endpoint, snapshot.gate), replays_of(endpoint, snapshot.gate)
    if not replays:
        return Promote(endpoint, report_without_gate(endpoint, policy))
    if any(replay.id not in snapshot.findings for replay in replays):
        return Try(endpoint, replays)
    judgement = judge(endpoint, policy, snapshot.findings, replays)
    if judgement.passed:
        return Promote(endpoint, judgement.report)
    return FailUpdate(endpoint, judgement.sentence, judgement.report)


def _wind_down(snapshot: Snapshot, revision: Revision) -> Iterator[Action]:
    """The next step of a revision that no configuration has, towards RETIRED."""
    match revision.state:
        case RevisionState.PENDING:
            yield Move(revision.id, RevisionState.RETIRED)
        case RevisionState.PREPARING:
            yield Abandon(revision.id)
            yield Move(revision.id, RevisionState.RETIRED)
        case RevisionState.STARTING | RevisionState.READY:
            yield Move(revision.id, RevisionState.RETIRING)
        case RevisionState.RETIRING if snapshot.observations is not None:
            if revision.id not in snapshot.observations:
                yield Move(revision.id, RevisionState.RETIRED)
            elif revision.id in snapshot.unrouted:
                yield Remove(revision.id)


def _drop_outdated(snapshot: Snapshot, endpoint: Endpoint, revisions: list[Revision]) -> Iterator[Action]:
    """Drop revisions that ended long ago from the store."""
    gone = tuple(revision.id for revision in outdated(endpoint, revisions) if _absent(snapshot, revision.id))
    if gone:
        yield Drop(gone)


# The states in which the engine may hold a revision. Any other target is left over from a start that was given up, or
# from a dropped endpoint. A new start of the same revision waits until it is gone, lest it inherit the old failures.
_MAY_BE_HELD = frozenset({RevisionState.STARTING, RevisionState.READY, RevisionState.RETIRING})


def _remove_unknown_targets(snapshot: Snapshot) -> Iterator[Action]:
    """Remove the targets that the engine should not hold."""
    for rid in snapshot.observations or ():
        revision = snapshot.revisions.get(rid)
        if revision is None or revision.state not in _MAY_BE_HELD:
            yield Remove(rid)


def _gone(snapshot: Snapshot, revision: Revision) -> bool:
    return revision.state in (RevisionState.FAILED, RevisionState.RETIRED) and _absent(snapshot, revision.id)


def _absent(snapshot: Snapshot, rid: RevisionId) -> bool:
    """Whether the engine is known to hold no target of a revision."""
    return snapshot.observations is not None and rid not in snapshot.observations


def _observation(snapshot: Snapshot, rid: RevisionId) -> RevisionObservation | None:
    return None if snapshot.observations is None else snapshot.observations.get(rid)
