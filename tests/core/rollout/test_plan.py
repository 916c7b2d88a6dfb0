"""What is due in each situation; the whole walk is in `test_plan_walks`."""

import json
from dataclasses import replace

import pytest

from tests.core.examples import (
    ENVIRONMENT,
    PROOF,
    a_config,
    a_created_endpoint,
    a_revision,
    an_endpoint,
    an_entity,
    an_observation,
    rid,
)
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.gate_policy import GateMode, GatePolicy
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import ReplicaState, Revision, RevisionId, RevisionObservation
from tidegate.core.endpoint.served_entity import Batching, ServedEntity
from tidegate.core.rollout.action import (
    Abandon,
    Action,
    Apply,
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
from tidegate.core.rollout.gate import GateDefaults, replays_of
from tidegate.core.rollout.plan import MAX_FAILED_STARTS, plan
from tidegate.core.rollout.replay import Findings
from tidegate.core.rollout.snapshot import Preparation, PreparationState, Snapshot
from tidegate.core.rollout.targets import target_of

S = RevisionState
ONE, TWO = an_entity(), an_entity("wine-2", version="2")
CREATED = a_created_endpoint()
SERVING = CREATED.promoted(1.0)
UPDATING = SERVING.with_update(a_config(TWO, version=2), 2.0)
DELETED = replace(SERVING, deleted_at=9.0)
ID = rid(CREATED, ONE)


def due(
    endpoint: Endpoint,
    *revisions: Revision,
    observed: dict[RevisionId, RevisionObservation] | None = None,
    preparation: Preparation | None = None,
    unrouted: bool = False,
) -> tuple[Action, ...]:
    """The plan for one endpoint. `observed` None means that the engine cannot be asked."""
    return plan(
        Snapshot(
            (endpoint,),
            {revision.id: revision for revision in revisions},
            {ID: preparation} if preparation else {},
            observed,
            frozenset(revision.id for revision in revisions) if unrouted else frozenset(),
        )
    )


def one(state: RevisionState, **fields: object) -> Revision:
    """The revision of ONE, in a state."""
    return a_revision(CREATED, ONE, state, **fields)


def two(state: RevisionState, **fields: object) -> Revision:
    """The revision of TWO, asked for by the update."""
    return a_revision(UPDATING, TWO, state, **fields)


READY_ONE = one(S.READY)
UP = {READY_ONE.id: an_observation(READY_ONE, ReplicaState.READY)}


# --- from nothing to READY


def test_an_empty_world_is_as_asked() -> None:
    assert plan(Snapshot()) == ()


def test_a_new_endpoints_revision_is_recorded() -> None:
    assert due(CREATED) == (Record(one(S.PENDING)),)


def test_a_pending_revision_is_prepared() -> None:
    assert due(CREATED, one(S.PENDING)) == (Prepare(one(S.PENDING)), Move(ID, S.PREPARING))


def test_a_running_preparation_is_waited_for() -> None:
    assert due(CREATED, one(S.PREPARING), preparation=Preparation(PreparationState.RUNNING)) == ()


def test_a_preparation_that_a_restart_has_lost_begins_anew() -> None:
    assert due(CREATED, one(S.PREPARING)) == (Move(ID, S.PENDING),)


WHOLE = replace(PROOF, start={"mode": "fork", "reason": ""})
DONE = Preparation(PreparationState.DONE, "", ENVIRONMENT, "/models/m")
SLEEPER = an_entity(scale_to_zero_enabled=True)


def proof_from(other: ServedEntity, **fields: object) -> object:
    """What a prepared revision is moved with, beside a revision of another endpoint."""
    created, elsewhere = a_created_endpoint(a_config(SLEEPER)), an_endpoint("elsewhere")
    mine = a_revision(created, SLEEPER, S.PREPARING)
    twin = a_revision(elsewhere, other, S.READY, **{"proof": WHOLE, **fields})
    seen = {twin.id: an_observation(twin)}
    world = Snapshot((created,), {one.id: one for one in (mine, twin)}, {mine.id: DONE}, seen)
    return next(action for action in plan(world) if isinstance(action, Move)).proof


def test_the_proof_of_a_ready_revision_whose_replicas_are_the_same_is_shared() -> None:
    assert proof_from(SLEEPER) == proof_from(an_entity("another-name", workload_size="Large")) == WHOLE


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        (replace(SLEEPER, timeout_seconds=1.0), {}),
        (replace(SLEEPER, environment_vars=(("A", "1"),)), {}),
        (replace(SLEEPER, batching=Batching.ON), {}),
        (SLEEPER, {"model_dir": "/models/other"}),
        (SLEEPER, {"environment": replace(ENVIRONMENT, overlay="/overlays/other")}),
        (SLEEPER, {"proof": PROOF}),  # how it starts is not known yet
    ],
)
def test_the_proof_of_another_one_is_not_shared(other: ServedEntity, fields: dict[str, object]) -> None:
    assert proof_from(other, **fields) is None


def test_what_is_proved_and_may_sleep_is_ready_without_a_replica() -> None:
    created = a_created_endpoint(a_config(SLEEPER))
    starting = a_revision(created, SLEEPER, S.STARTING, proof=PROOF)
    [apply] = due(created, starting, observed={})
    assert isinstance(apply, Apply)
    assert (apply.target.replicas, apply.target.proof) == (0, PROOF)
    held = {starting.id: an_observation(starting)}
    assert due(created, starting, observed=held) == (Move(starting.id, S.READY, proof=PROOF),)


def test_what_is_proved_and_may_not_sleep_waits_for_its_replica() -> None:
    starting = one(S.STARTING, proof=PROOF)
    assert due(CREATED, starting, observed={starting.id: an_observation(starting)}) == ()


def test_a_failed_preparation_fails_the_revision_with_its_sentence() -> None:
    failed = Preparation(PreparationState.FAILED, "No package 'x'.")
    assert due(CREATED, one(S.PREPARING), preparation=failed) == (Abandon(ID), Move(ID, S.FAILED, "No package 'x'."))


def test_what_the_engine_learns_of_a_ready_revision_is_recorded() -> None:
    ready = one(S.READY, proof=WHOLE)
    off = {"mode": "off", "exact": False, "reason": "a live request got another answer"}
    told = replace(WHOLE, start=None, batching=off)  # how it starts is not known to this agent: that stands
    [learn] = due(SERVING, ready, observed={ready.id: an_observation(ready, ReplicaState.READY, proof=told)})
    assert learn == Learn(ID, replace(WHOLE, batching=off))
    known = one(S.READY, proof=replace(WHOLE, batching=off))
    assert due(SERVING, known, observed={known.id: an_observation(known, ReplicaState.READY, proof=told)}) == ()


def test_a_done_preparation_is_recorded_and_started() -> None:
    done = Preparation(PreparationState.DONE, "", ENVIRONMENT, "/models/m")
    abandon, move = due(CREATED, one(S.PREPARING), observed={}, preparation=done)
    assert abandon == Abandon(ID)
    assert isinstance(move, Move)
    assert (move.state, move.environment, move.model_dir) == (S.STARTING, ENVIRONMENT, "/models/m")


def test_a_starting_revision_is_given_to_the_engine() -> None:
    assert due(CREATED, one(S.STARTING), observed={}) == (Apply(target_of(one(S.STARTING))),)


def test_what_the_engine_holds_is_not_applied_again() -> None:
    starting = one(S.STARTING)
    assert due(CREATED, starting, observed={starting.id: an_observation(starting, ReplicaState.STARTING)}) == ()


@pytest.mark.parametrize("state", [S.STARTING, S.READY, S.RETIRING])
def test_nothing_is_concluded_while_the_engine_cannot_be_asked(state: RevisionState) -> None:
    endpoint = DELETED if state is S.RETIRING else SERVING
    assert due(endpoint, one(state), observed=None, unrouted=True) == ()


def test_a_ready_replica_makes_the_revision_ready_and_its_proof_is_kept() -> None:
    starting = one(S.STARTING)
    seen = an_observation(starting, ReplicaState.READY, proof=replace(PROOF, warning="No example."))
    assert due(CREATED, starting, observed={starting.id: seen}) == (
        Move(ID, S.READY, "No example.", proof=replace(PROOF, warning="No example.")),
    )


@pytest.mark.parametrize("state", [ReplicaState.STARTING, ReplicaState.DRAINING])
def test_another_replica_does_not(state: ReplicaState) -> None:
    starting = one(S.STARTING)
    assert due(CREATED, starting, observed={starting.id: an_observation(starting, state)}) == ()


@pytest.mark.parametrize(("scales", "replicas"), [({ID: 3}, 3), ({ID: 0}, 0), ({}, None)])
def test_a_ready_revision_is_held_to_what_was_decided(scales: dict[RevisionId, int], replicas: int | None) -> None:
    world = Snapshot((SERVING,), {ID: READY_ONE}, observations={ID: UP[READY_ONE.id]}, scales=scales)
    assert plan(world) == (() if replicas is None else (Apply(target_of(READY_ONE, replicas)),))


def test_while_nothing_was_decided_it_keeps_what_it_has() -> None:
    seen = replace(UP[READY_ONE.id], target=target_of(READY_ONE, 5))
    assert due(SERVING, READY_ONE, observed={READY_ONE.id: seen}) == ()


def test_a_starting_revision_is_proved_by_one_replica_whatever_was_decided() -> None:
    world = Snapshot((CREATED,), {ID: one(S.STARTING)}, observations={}, scales={ID: 0})
    assert plan(world) == (Apply(target_of(one(S.STARTING), 1)),)


def test_a_recorded_proof_changes_the_target() -> None:
    proved = one(S.READY, proof=PROOF)
    assert due(SERVING, proved, observed={proved.id: UP[READY_ONE.id]}) == (Apply(target_of(proved)),)


# --- failures


def test_a_start_that_failed_is_tried_again() -> None:
    starting = one(S.STARTING)
    seen = an_observation(starting, failed_starts=MAX_FAILED_STARTS - 1)
    assert due(CREATED, starting, observed={starting.id: seen}) == ()


def test_starts_that_keep_failing_fail_the_revision() -> None:
    starting = one(S.STARTING)
    seen = an_observation(starting, failed_starts=MAX_FAILED_STARTS, message="No module named 'x'.")
    assert due(CREATED, starting, observed={starting.id: seen}) == (Move(ID, S.FAILED, "No module named 'x'."),)


def test_a_failed_revision_fails_its_update() -> None:
    failed = two(S.FAILED, message="No module named 'x'.")
    assert due(UPDATING, READY_ONE, failed, observed=UP) == (FailUpdate(UPDATING, "No module named 'x'."),)


def test_a_failure_of_an_earlier_update_is_tried_again() -> None:
    earlier = two(S.FAILED, generation=UPDATING.generation - 1)
    assert due(UPDATING, READY_ONE, earlier, observed=UP) == (
        Move(earlier.id, S.PENDING, generation=UPDATING.generation),
    )


def test_a_new_start_waits_until_the_engine_has_let_go_of_the_old_one() -> None:
    again = two(S.PREPARING)
    prepared = {again.id: Preparation(PreparationState.DONE, "", ENVIRONMENT, "/models/m")}
    old = an_observation(two(S.FAILED), failed_starts=MAX_FAILED_STARTS, message="Old.")
    world = Snapshot((UPDATING,), {ID: READY_ONE, again.id: again}, prepared, {ID: UP[READY_ONE.id], again.id: old})
    assert plan(world) == (Remove(again.id),)
    assert plan(replace(world, observations=None)) == ()


def test_a_crash_of_what_serves_is_the_engines_matter() -> None:
    seen = an_observation(READY_ONE, failed_starts=9, message="It crashed.")
    assert due(SERVING, READY_ONE, observed={READY_ONE.id: seen}) == ()


def test_what_an_engine_has_forgotten_is_applied_again() -> None:
    assert due(SERVING, READY_ONE, observed={}) == (Apply(target_of(READY_ONE)),)


# --- roll-out


def test_a_ready_configuration_is_promoted() -> None:
    assert due(CREATED, READY_ONE, observed=UP) == (Promote(CREATED),)


def test_a_configuration_is_promoted_whole_or_not_at_all() -> None:
    both = SERVING.with_update(a_config(ONE, TWO, version=2), 2.0)
    starting = two(S.STARTING)
    observed = {**UP, starting.id: an_observation(starting, ReplicaState.STARTING)}
    assert due(both, READY_ONE, starting, observed=observed) == ()


def test_an_update_that_changes_only_traffic_is_promoted_at_once() -> None:
    shifted = SERVING.with_update(a_config(ONE, version=2), 2.0)
    assert due(shifted, READY_ONE, observed=UP) == (Promote(shifted),)


def test_what_serves_is_kept_while_an_update_is_on_its_way() -> None:
    assert due(UPDATING, READY_ONE, two(S.PREPARING), observed=UP, unrouted=True) == (
        Move(two(S.PREPARING).id, S.PENDING),
    )


# --- parking

UPDATED = UPDATING.promoted(3.0)
BACK = UPDATED.with_update(a_config(ONE, version=3), 4.0)
READY_TWO = two(S.READY)
ASLEEP = replace(an_observation(READY_ONE), target=target_of(READY_ONE, 0, parked=True))
BOTH_UP = {READY_ONE.id: an_observation(READY_ONE, ReplicaState.READY)} | {
    READY_TWO.id: an_observation(READY_TWO, ReplicaState.READY)
}


def parked_due(
    endpoint: Endpoint, seen: RevisionObservation, replicas: int, unrouted: bool = False
) -> tuple[Action, ...]:
    """The plan for an endpoint with both revisions READY, of which the first is seen so and is to have so many."""
    revisions = {revision.id: revision for revision in (READY_ONE, READY_TWO)}
    observed = {**BOTH_UP, READY_ONE.id: seen}
    free = frozenset(revisions if unrouted else ())
    return plan(Snapshot((endpoint,), revisions, {}, observed, free, {READY_ONE.id: replicas}))


def test_what_is_parked_stays_and_may_make_room() -> None:
    (apply,) = parked_due(UPDATED, UP[READY_ONE.id], 1, unrouted=True)
    assert apply == Apply(target_of(READY_ONE, 1, parked=True))
    assert isinstance(apply, Apply)
    assert (apply.target.min_replicas, apply.target.parked) == (0, True)
    assert parked_due(UPDATED, replace(UP[READY_ONE.id], target=apply.target), 1, unrouted=True) == ()


def test_what_is_parked_is_held_without_replicas_when_its_time_is_over() -> None:
    assert parked_due(UPDATED, UP[READY_ONE.id], 0) == (Apply(target_of(READY_ONE, 0, parked=True)),)
    assert parked_due(UPDATED, ASLEEP, 0) == ()


def test_a_rollback_is_promoted_at_once_even_while_it_sleeps() -> None:
    back = UPDATED.rolled_back(4.0)
    assert parked_due(back, ASLEEP, 1) == (Apply(target_of(READY_ONE, 1)), Promote(back))


def test_an_update_to_what_is_parked_waits_for_a_replica() -> None:
    assert parked_due(BACK, ASLEEP, 1) == (Apply(target_of(READY_ONE, 1)),)
    starting = an_observation(READY_ONE, ReplicaState.STARTING)
    assert parked_due(BACK, starting, 1) == ()
    assert parked_due(BACK, UP[READY_ONE.id], 1) == (Try(BACK, replays_of(BACK, GateDefaults())),)
    failing = replace(starting, failed_starts=MAX_FAILED_STARTS, message="It does not load any more.")
    assert parked_due(BACK, failing, 1) == (FailUpdate(BACK, "It does not load any more."),)


def test_the_next_switch_lets_go_of_what_was_parked() -> None:
    three = a_revision(UPDATED, an_entity("wine-3", version="3"), S.READY)
    updated = UPDATED.with_update(a_config(three.entity, version=3), 4.0).promoted(5.0)
    revisions = {revision.id: revision for revision in (READY_ONE, READY_TWO, three)}
    observed = {**BOTH_UP, three.id: an_observation(three, ReplicaState.READY)}
    assert Move(ID, S.RETIRING) in plan(Snapshot((updated,), revisions, observations=observed))


def test_what_is_parked_goes_with_its_endpoint() -> None:
    assert parked_due(replace(UPDATED, deleted_at=9.0), UP[READY_ONE.id], 1) == (
        Move(ID, S.RETIRING),
        Move(READY_TWO.id, S.RETIRING),
    )


# --- the gate

REPLAYS = replays_of(UPDATING, GateDefaults())


def gated(endpoint: Endpoint, *found: Findings) -> tuple[Action, ...]:
    """What is due when both revisions are ready, and this was found."""
    revisions = {revision.id: revision for revision in (READY_ONE, READY_TWO)}
    findings = {one.id: one for one in found}
    return plan(Snapshot((endpoint,), revisions, observations=BOTH_UP, findings=findings))


def test_a_new_version_is_tried_before_it_serves_and_once_that_is_done_the_gate_decides() -> None:
    [replay] = REPLAYS
    assert gated(UPDATING) == gated(UPDATING, Findings("of another attempt")) == (Try(UPDATING, REPLAYS),)
    [promoted] = gated(UPDATING, Findings(replay.id, requests=9))
    assert isinstance(promoted, Promote)
    assert (promoted.endpoint, json.loads(promoted.report)["verdict"]) == (UPDATING, "passed")
    [failed] = gated(UPDATING, Findings(replay.id, requests=9, errors=1, error="No."))
    assert isinstance(failed, FailUpdate)
    assert failed.message == "The gate holds it back: 1 of 9 replayed requests failed that were answered before: No."
    assert json.loads(failed.report)["verdict"] == "held_back"


NAPS = an_entity("wine-2", version="2", scale_to_zero_enabled=True)
TO_NAPPING = SERVING.with_update(a_config(NAPS, version=2), 2.0)
NAPPING = a_revision(TO_NAPPING, NAPS, S.READY, proof=PROOF)


def waking(endpoint: Endpoint, seen: RevisionObservation | None, replicas: int = 0) -> tuple[Action, ...]:
    """What is due when a version that may sleep is on its way, READY, and seen so."""
    revisions = {revision.id: revision for revision in (READY_ONE, NAPPING)}
    observed = {**UP, **({NAPPING.id: seen} if seen else {})}
    return plan(Snapshot((endpoint,), revisions, observations=observed, scales={NAPPING.id: replicas}))


def test_a_version_that_may_sleep_is_woken_for_the_gate_and_waited_for() -> None:
    asleep = replace(an_observation(NAPPING), target=target_of(NAPPING, 0))
    assert waking(TO_NAPPING, asleep) == waking(TO_NAPPING, None) == (Apply(target_of(NAPPING, 1)),)
    starting = replace(an_observation(NAPPING, ReplicaState.STARTING), target=target_of(NAPPING, 1))
    assert waking(TO_NAPPING, starting) == ()  # for however long it takes
    failing = replace(starting, failed_starts=MAX_FAILED_STARTS, message="It does not load any more.")
    assert waking(TO_NAPPING, failing) == (FailUpdate(TO_NAPPING, "It does not load any more."),)
    awake = replace(an_observation(NAPPING, ReplicaState.READY), target=target_of(NAPPING, 1))
    assert waking(TO_NAPPING, awake) == (Try(TO_NAPPING, replays_of(TO_NAPPING, GateDefaults())),)
    many = replace(awake, target=target_of(NAPPING, 3))
    assert waking(TO_NAPPING, many, 3) == waking(TO_NAPPING, awake)


def test_a_version_that_may_sleep_and_is_not_asked_sleeps_on() -> None:
    asleep = replace(an_observation(NAPPING), target=target_of(NAPPING, 0))
    off = replace(TO_NAPPING, gate=GatePolicy(GateMode.OFF))
    assert waking(off, asleep) == (Promote(off),)
    deaf = replace(TO_NAPPING, gate=GatePolicy(record=False))
    assert waking(deaf, asleep) == (Try(deaf, replays_of(deaf, GateDefaults())),)


def test_what_is_forced_or_has_no_gate_is_not_tried() -> None:
    forced = SERVING.with_update(a_config(TWO, version=2), 2.0, forced=True)
    [promoted] = gated(forced)
    assert isinstance(promoted, Promote)
    assert json.loads(promoted.report)["verdict"] == "forced"
    off = replace(UPDATING, gate=GatePolicy(GateMode.OFF))
    assert gated(off) == (Promote(off),)


def test_a_rollback_is_not_tried() -> None:
    back = UPDATED.rolled_back(4.0)
    assert Promote(back) in gated(back)


# --- release


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        (S.PENDING, (Move(ID, S.RETIRED),)),
        (S.PREPARING, (Abandon(ID), Move(ID, S.RETIRED))),
        (S.STARTING, (Move(ID, S.RETIRING),)),
        (S.READY, (Move(ID, S.RETIRING),)),
        (S.FAILED, (Forget(DELETED),)),
        (S.RETIRED, (Forget(DELETED),)),
    ],
)
def test_the_revisions_of_a_deleted_endpoint_go_step_by_step(state: RevisionState, actions: tuple[Action, ...]) -> None:
    assert due(DELETED, one(state), observed={}) == actions


def test_a_routed_revision_is_not_removed() -> None:
    retiring = one(S.RETIRING)
    observed = {retiring.id: an_observation(retiring, ReplicaState.READY)}
    assert due(DELETED, retiring, observed=observed) == ()
    assert due(DELETED, retiring, observed=observed, unrouted=True) == (Remove(ID),)


def test_a_removed_revision_is_retired_when_its_last_process_has_ended() -> None:
    assert due(DELETED, one(S.RETIRING), observed={}) == (Move(ID, S.RETIRED),)


def test_a_revision_that_is_asked_for_again_while_it_drains_is_started_again() -> None:
    assert due(SERVING, one(S.RETIRING), observed={}) == (Move(ID, S.STARTING, generation=SERVING.generation),)


def test_a_retired_revision_that_is_asked_for_again_begins_anew() -> None:
    assert due(CREATED, one(S.RETIRED), observed={}) == (Move(ID, S.PENDING, generation=CREATED.generation),)


def test_an_endpoint_without_revisions_is_forgotten_at_once() -> None:
    assert due(DELETED) == (Forget(DELETED),)


def test_a_deleted_endpoint_is_remembered_while_something_of_it_runs() -> None:
    failed = one(S.FAILED)
    assert due(DELETED, failed, observed={failed.id: an_observation(failed)}) == (Remove(ID),)
    assert due(DELETED, failed, observed=None) == ()


def test_what_nobody_knows_is_removed_from_the_engine() -> None:
    stray = one(S.READY)
    assert plan(Snapshot(observations={ID: an_observation(stray)})) == (Remove(ID),)
