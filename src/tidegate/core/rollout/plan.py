"""What to do next: a pure function from the world as it is to the actions that bring it nearer to what was asked.

Level-triggered: it never remembers. Create, update, delete, crash recovery and restart are the same walk from different
starting points, and an action that failed is simply planned again. The zero-downtime order is here: start the new, wait
for its proof, switch the routes whole, see every gateway follow, then drain the old.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from tidegate.core.endpoint.endpoint import Batching, Endpoint, ServedEntity
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.retention import outdated
from tidegate.core.endpoint.revision import (
    Environment,
    Proof,
    Revision,
    RevisionId,
    RevisionObservation,
    RevisionTarget,
    revision_id,
)
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
from tidegate.core.rollout.gate import Gate, is_asked, judge, policy_of, replays_of, unasked
from tidegate.core.rollout.parking import must_wake
from tidegate.core.rollout.replay import Findings

# A revision whose replica has never been ready is given up after so many starts in a row that failed.
MAX_FAILED_STARTS = 2


class PreparationState(StrEnum):
    """How far the preparation of a revision is, in this process of control."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Preparation:
    """The download of a model and the build of its environment."""

    state: PreparationState
    message: str = ""
    environment: Environment | None = None
    model_dir: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The world at one moment. `observations` is None while the engine cannot be asked: nothing is concluded then.

    `unrouted` are the revisions that no gateway routes to and none has a request of. `scales` is how many replicas
    READY revisions should have; one that is not in it keeps what it has. `findings` are those of replays that all
    gateways have done.
    """

    endpoints: tuple[Endpoint, ...] = ()
    revisions: Mapping[RevisionId, Revision] = field(default_factory=dict)
    preparations: Mapping[RevisionId, Preparation] = field(default_factory=dict)
    observations: Mapping[RevisionId, RevisionObservation] | None = None
    unrouted: frozenset[RevisionId] = frozenset()
    scales: Mapping[RevisionId, int] = field(default_factory=dict)
    memory_limits: Mapping[str, int] = field(default_factory=dict)  # workload_type → bytes that one replica may use
    gate: Gate = field(default_factory=Gate)
    findings: Mapping[str, Findings] = field(default_factory=dict)  # replay's id → what was found


# --- the plan ---


def plan(world: Snapshot) -> tuple[Action, ...]:
    """The actions that are due now, in the order in which to do them; empty when the world is as asked."""
    actions: list[Action] = []
    owned: dict[str, list[Revision]] = defaultdict(list)
    for revision in world.revisions.values():
        owned[revision.endpoint_id].append(revision)
    for endpoint in world.endpoints:
        wanted = {
            revision_id(endpoint.id, entity): entity for config in endpoint.configs for entity in config.served_entities
        }
        for rid, entity in wanted.items():
            actions += _hold(world, endpoint, rid, entity)
        actions += _roll_out(world, endpoint)
        mine = owned[endpoint.id]
        for revision in mine:
            if revision.id not in wanted:
                actions += _release(world, revision)
        if endpoint.deleted_at is None:
            actions += _dropped(world, endpoint, mine)
        elif all(_gone(world, revision) for revision in mine):
            actions.append(Forget(endpoint))
    actions += _strays(world)
    return tuple(actions)


def target_of(
    revision: Revision, replicas: int | None = None, memory_bytes: int = 0, *, parked: bool = False
) -> RevisionTarget:
    """What the engine must hold for a prepared revision.

    So many replicas, by default the fewest that can prove it; `memory_bytes` is what each of them may use. One that is
    `parked` may have none, whatever its owner wants to be kept ready.
    """
    assert revision.environment is not None
    entity, scaling = revision.entity, revision.entity.scaling
    return RevisionTarget(
        revision=revision.id,
        endpoint=revision.endpoint_name,
        served_entity=entity.name,
        model_dir=revision.model_dir,
        environment=revision.environment,
        replicas=_first_replicas(revision) if replicas is None else replicas,
        min_replicas=0 if parked else scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        timeout_seconds=entity.timeout_seconds,
        environment_vars=entity.environment_vars,
        proved=revision.proof is not None,
        batching=_batching(entity),
        trials=entity.may_be_tried,
        proof=revision.proof,
        memory_bytes=memory_bytes,
        parked=parked,
    )


def _first_replicas(revision: Revision) -> int:
    return 0 if _needs_no_replica(revision) else max(1, revision.entity.scaling.min_replicas)


def _batching(entity: ServedEntity) -> Batching:
    """Without trials nothing is proved, unless its owner says so."""
    return Batching.OFF if entity.batching is Batching.AUTO and not entity.may_be_tried else entity.batching


def _hold(world: Snapshot, endpoint: Endpoint, rid: RevisionId, entity: ServedEntity) -> Iterator[Action]:
    """Bring a wanted revision one step nearer to READY."""
    revision = world.revisions.get(rid)
    if revision is None:
        yield Record(Revision(rid, endpoint.id, endpoint.name, entity, endpoint.generation))
        return
    match revision.state:
        case RevisionState.PENDING:
            yield Prepare(revision)
            yield Move(rid, RevisionState.PREPARING)
        case RevisionState.PREPARING:
            yield from _prepared(world, revision, world.preparations.get(rid))
        case RevisionState.STARTING:
            yield from _started(world, revision)
        case RevisionState.READY:
            yield from _learnt(world, revision)
            fewest = 1 if is_asked(endpoint, entity, world.gate) else 0  # a gate's requests are asked of a replica
            yield from _applied(world, revision, fewest, parked=endpoint.parks(entity))
        case RevisionState.FAILED if revision.generation != endpoint.generation:
            yield Move(rid, RevisionState.PENDING, generation=endpoint.generation)
        case RevisionState.RETIRING:
            yield Move(rid, RevisionState.STARTING, generation=endpoint.generation)
        case RevisionState.RETIRED:
            yield Move(rid, RevisionState.PENDING, generation=endpoint.generation)


def _prepared(world: Snapshot, revision: Revision, preparation: Preparation | None) -> Iterator[Action]:
    rid = revision.id
    if preparation is None:
        yield Move(rid, RevisionState.PENDING)
    elif preparation.state is PreparationState.FAILED:
        yield Abandon(rid)
        yield Move(rid, RevisionState.FAILED, preparation.message)
    elif preparation.state is PreparationState.DONE and _absent(world, rid):  # else _strays ends its earlier life first
        yield Abandon(rid)
        yield Move(
            rid,
            RevisionState.STARTING,
            "A replica is being started.",
            environment=preparation.environment,
            model_dir=preparation.model_dir,
            proof=_proof_of_a_twin(world, revision.entity, preparation),
        )


def _proof_of_a_twin(world: Snapshot, entity: ServedEntity, preparation: Preparation) -> Proof | None:
    """The whole proof of a ready revision whose replicas are the very same: same model, environment and settings."""
    sought = preparation.model_dir, preparation.environment, *_proved_with(entity)
    for other in world.revisions.values():
        proof = other.proof
        if other.state is not RevisionState.READY or proof is None or proof.start is None:
            continue
        if (other.model_dir, other.environment, *_proved_with(other.entity)) == sought and not _ails(world, other.id):
            return proof
    return None


def _proved_with(entity: ServedEntity) -> tuple[object, ...]:
    """What a proof depends on besides model and environment."""
    return entity.environment_vars, entity.timeout_seconds, _batching(entity), entity.may_be_tried


def _ails(world: Snapshot, rid: RevisionId) -> bool:
    observation = _observation(world, rid)
    return observation is None or observation.failed_starts > 0


def _started(world: Snapshot, revision: Revision) -> Iterator[Action]:
    observation = _observation(world, revision.id)
    if observation is not None and (observation.ready_replicas or _needs_no_replica(revision)):
        proof = observation.proof or revision.proof
        yield Move(revision.id, RevisionState.READY, proof.warning if proof else "", proof=proof)
    elif observation is not None and observation.failed_starts >= MAX_FAILED_STARTS:
        yield Move(revision.id, RevisionState.FAILED, observation.message)
    else:
        yield from _applied(world, revision)


def _learnt(world: Snapshot, revision: Revision) -> Iterator[Action]:
    observation = _observation(world, revision.id)
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


def _needs_no_replica(revision: Revision) -> bool:
    """Whether it is ready without any: proved already, and allowed to sleep."""
    return revision.proof is not None and revision.entity.scaling.min_replicas == 0


def _applied(world: Snapshot, revision: Revision, fewest: int = 0, *, parked: bool = False) -> Iterator[Action]:
    if world.observations is None:
        return
    memory = world.memory_limits.get(revision.entity.workload_type, 0)
    observation = world.observations.get(revision.id)
    target = target_of(revision, _replicas(world, revision, observation, fewest), memory, parked=parked)
    if observation is None or observation.target != target:
        yield Apply(target)


def _replicas(world: Snapshot, revision: Revision, observation: RevisionObservation | None, fewest: int) -> int | None:
    """As many as were decided on, and so many at least; while nothing was, what there is already."""
    if revision.state is not RevisionState.READY:
        return None
    decided = world.scales.get(revision.id, observation.target.replicas if observation else None)
    return decided if decided is None else max(fewest, decided)


def _roll_out(world: Snapshot, endpoint: Endpoint) -> Iterator[Action]:
    """Promote a pending configuration when all of it is ready and the gate lets it through; give it up when any of it
    has failed. A switch that has begun is carried through.
    """
    if endpoint.switching is not None and endpoint.deleted_at is None:
        yield Promote(endpoint, endpoint.switching.report)
        return
    if endpoint.pending is None or endpoint.deleted_at is not None:
        return
    revisions = [
        world.revisions.get(revision_id(endpoint.id, entity)) for entity in endpoint.pending.config.served_entities
    ]
    for revision in revisions:
        if revision and revision.state is RevisionState.FAILED and revision.generation == endpoint.generation:
            yield FailUpdate(endpoint, revision.message)
            return
    ready = [revision for revision in revisions if revision is not None and revision.state is RevisionState.READY]
    asleep = [one.id for one in ready if _sleeps(world, endpoint, one)]
    failing = [seen for rid in asleep if (seen := _observation(world, rid)) and seen.failed_starts >= MAX_FAILED_STARTS]
    if failing:
        yield FailUpdate(endpoint, failing[0].message)
    elif len(ready) == len(revisions) and not asleep:
        yield _gated(world, endpoint)


def _sleeps(world: Snapshot, endpoint: Endpoint, revision: Revision) -> bool:
    """Whether the switch waits until it has a replica."""
    asked = is_asked(endpoint, revision.entity, world.gate)
    return must_wake(endpoint, revision.entity, _observation(world, revision.id), asked=asked)


def _gated(world: Snapshot, endpoint: Endpoint) -> Action:
    """What the gate says to a pending configuration that is ready."""
    policy, replays = policy_of(endpoint, world.gate), replays_of(endpoint, world.gate)
    if not replays:
        return Promote(endpoint, unasked(endpoint, policy))
    if any(replay.id not in world.findings for replay in replays):
        return Try(endpoint, replays)
    judgement = judge(endpoint, policy, world.findings, replays)
    if judgement.passed:
        return Promote(endpoint, judgement.report)
    return FailUpdate(endpoint, judgement.sentence, judgement.report)


def _release(world: Snapshot, revision: Revision) -> Iterator[Action]:
    """Bring an unwanted revision one step nearer to nothing."""
    match revision.state:
        case RevisionState.PENDING:
            yield Move(revision.id, RevisionState.RETIRED)
        case RevisionState.PREPARING:
            yield Abandon(revision.id)
            yield Move(revision.id, RevisionState.RETIRED)
        case RevisionState.STARTING | RevisionState.READY:
            yield Move(revision.id, RevisionState.RETIRING)
        case RevisionState.RETIRING if world.observations is not None:
            if revision.id not in world.observations:
                yield Move(revision.id, RevisionState.RETIRED)
            elif revision.id in world.unrouted:
                yield Remove(revision.id)


def _dropped(world: Snapshot, endpoint: Endpoint, revisions: list[Revision]) -> Iterator[Action]:
    """Let go of the records of what is long over."""
    gone = tuple(revision.id for revision in outdated(endpoint, revisions) if _absent(world, revision.id))
    if gone:
        yield Drop(gone)


# What the engine may hold. Anything else is left over from a start that was given up or from a forgotten endpoint; a
# new start of the same revision waits for its end, lest it inherit the old failures.
_HELD = frozenset({RevisionState.STARTING, RevisionState.READY, RevisionState.RETIRING})


def _strays(world: Snapshot) -> Iterator[Action]:
    """Remove what the engine holds although it should not."""
    for rid in world.observations or ():
        revision = world.revisions.get(rid)
        if revision is None or revision.state not in _HELD:
            yield Remove(rid)


def _gone(world: Snapshot, revision: Revision) -> bool:
    return revision.state in (RevisionState.FAILED, RevisionState.RETIRED) and _absent(world, revision.id)


def _absent(world: Snapshot, rid: RevisionId) -> bool:
    """Whether the engine is known to hold nothing of it."""
    return world.observations is not None and rid not in world.observations


def _observation(world: Snapshot, rid: RevisionId) -> RevisionObservation | None:
    return None if world.observations is None else world.observations.get(rid)
