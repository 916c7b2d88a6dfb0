"""What an agent does next, in tables. Times are monotonic seconds; the present is 1000."""

from dataclasses import replace

import pytest

from tidegate.core.endpoint.revision import (
    Environment,
    EnvironmentDigest,
    ReplicaId,
    ReplicaState,
    RevisionId,
    RevisionTarget,
)
from tidegate.engines.scheduling.facts import Limits, ReplicaFacts, RevisionFacts
from tidegate.engines.scheduling.schedule import (
    NO_CAPACITY_SECONDS,
    SLOT_SECONDS,
    Action,
    Drain,
    Evict,
    Forget,
    GiveUp,
    Kill,
    Outgrown,
    Start,
    Warm,
    decide,
)

NOW = 1000.0
LIMITS = Limits(cores=4, concurrent_starts=2, start_timeout=300, drain_timeout=60)
A, B, C = RevisionId("a"), RevisionId("b"), RevisionId("c")


def held(revision: RevisionId, replicas: int = 1, **changes: object) -> RevisionFacts:
    environment = Environment(EnvironmentDigest("e"), "/python", "/overlay")
    target = RevisionTarget(revision, "wine", "wine-1", "/m", environment, replicas, 0, 8, 60.0)
    return replace(RevisionFacts(target, "now", proved=True), **changes)  # type: ignore[arg-type]


def replica(name: str, state: str = "ready", revision: RevisionId = A, **changes: object) -> ReplicaFacts:
    facts = ReplicaFacts(ReplicaId(name), revision, "now", ReplicaState(state), NOW - 1)
    return replace(facts, **changes)  # type: ignore[arg-type]


START, STOP = Start(A), Drain(ReplicaId("r1"))


@pytest.mark.parametrize(
    ("what", "replicas", "actions"),
    [
        (held(A), [], [START]),
        (held(A, 0), [], []),
        (held(A), [replica("r1")], []),
        (held(A), [replica("r1", "starting")], []),
        (held(A), [replica("r1", "draining")], [START]),
        (held(A, 2), [replica("r1")], [START]),
        (held(A, 0), [replica("r1")], [STOP]),
        (held(A, 1), [replica("r1", since=NOW - 1), replica("r2", since=NOW - 9)], [STOP]),
        (held(A, 1), [replica("r1", "starting"), replica("r2")], [STOP]),
        (held(A, removing=True), [replica("r1")], [STOP]),
        (held(A, removing=True), [replica("r1", "draining")], []),
        (held(A, removing=True), [], [Forget(A)]),
        (held(A, start_after=NOW + 1), [], []),
        (held(A, start_after=NOW), [], [START]),
        # min_replicas is a floor, max_replicas a cap
        (replace(held(A, 0), target=replace(held(A).target, replicas=0, min_replicas=1)), [], [START]),
        (replace(held(A), target=replace(held(A).target, replicas=5, max_replicas=1)), [replica("r1")], []),
        (held(A, 9), [replica(f"r{n}") for n in range(8)], []),
    ],
)
def test_one_revision(what: RevisionFacts, replicas: list[ReplicaFacts], actions: list[Action]) -> None:
    assert list(decide({A: what}, replicas, LIMITS, NOW).actions) == actions


@pytest.mark.parametrize(
    ("replicas", "actions"),
    [
        ([replica("r1", launch="old")], [START]),  # the old serves until the new is ready
        ([replica("r1", launch="old"), replica("r2", "starting")], []),
        ([replica("r1", launch="old"), replica("r2")], [STOP]),
        ([replica("r1", "starting", launch="old")], [STOP, START]),  # of no use any more
    ],
)
def test_another_launch_starts_before_it_stops(replicas: list[ReplicaFacts], actions: list[Action]) -> None:
    assert list(decide({A: held(A)}, replicas, LIMITS, NOW).actions) == actions


def test_of_two_old_replicas_one_goes_as_one_new_is_ready() -> None:
    old = [replica("r1", launch="old"), replica("r2", launch="old", since=NOW - 5)]
    actions = decide({A: held(A, 2)}, [*old, replica("r3"), replica("r4", "starting")], LIMITS, NOW).actions
    assert actions == (STOP,)


@pytest.mark.parametrize(
    ("facts", "action"),
    [
        (replica("r1", "starting", since=NOW - 299), None),
        (replica("r1", "starting", since=NOW - 300), GiveUp(ReplicaId("r1"))),
        (replica("r1", "draining", since=NOW - 59), None),
        (replica("r1", "draining", since=NOW - 60), Kill(ReplicaId("r1"))),
        (replica("r1", "draining", since=NOW - 60, killed=True), None),
        (replica("r1", "ready", since=NOW - 9999), None),
    ],
)
def test_deadlines(facts: ReplicaFacts, action: Action | None) -> None:
    actions = decide({A: held(A)}, [facts], LIMITS, NOW).actions
    assert [a for a in actions if isinstance(a, GiveUp | Kill)] == ([action] if action else [])


def test_replicas_of_what_is_not_held_are_drained() -> None:
    assert decide({}, [replica("r1"), replica("r2", "draining")], LIMITS, NOW).actions == (STOP,)


def test_the_first_replica_has_the_cores_to_itself() -> None:
    assert decide({A: held(A, 4)}, [], LIMITS, NOW).actions == (Start(A),)
    assert decide({A: held(A, 4)}, [replica("r1", state=ReplicaState.STARTING)], LIMITS, NOW).actions == ()
    assert decide({A: held(A, 4, can_fork=True)}, [], LIMITS, NOW).actions == (Start(A, fork=True),) * 4


def test_a_template_that_can_be_made_is_made_and_waited_for() -> None:
    assert decide({A: held(A, 4, can_warm=True)}, [], LIMITS, NOW).actions == (Warm(A),)
    waits = {A: held(A, 4, template_until=NOW + 5), B: held(B)}
    decision = decide(waits, [], LIMITS, NOW)
    assert (decision.actions, decision.again_at) == ((Start(B),), NOW + 5)
    assert decide(waits, [], LIMITS, NOW + 5).actions == (START, Start(B))  # it takes too long
    assert decide({A: held(A, can_fork=True, template_until=NOW + 5)}, [], LIMITS, NOW).actions == (
        Start(A, fork=True),
    )


def test_everybody_gets_the_first_replica_before_anybody_gets_the_second() -> None:
    revisions = {A: held(A, 4), B: held(B, 4)}
    assert decide(revisions, [], LIMITS, NOW).actions == (Start(A), Start(B))
    ready = [replica("r1"), replica("r2")]
    assert decide(revisions, ready, LIMITS, NOW).actions == (Start(B), Start(A))  # its second waits for its first


def test_starts_at_once_are_limited_but_a_hanging_one_keeps_nobody_out() -> None:
    starting = [replica("r1", "starting"), replica("r2", "starting")]
    revisions = {A: held(A, 2), B: held(B)}
    decision = decide(revisions, starting, LIMITS, NOW)
    assert decision.actions == ()
    assert decision.again_at == NOW - 1 + SLOT_SECONDS
    assert decide(revisions, starting, LIMITS, NOW + SLOT_SECONDS).actions == (Start(B),)


@pytest.mark.parametrize("changes", [{"proved": False}, {"failed_starts": 1}])
def test_what_may_not_start_at_all_is_tried_one_by_one(changes: dict[str, object]) -> None:
    one = held(A, 3, **changes)
    assert decide({A: one}, [], LIMITS, NOW).actions == (START,)
    assert decide({A: one}, [replica("r1", "starting")], LIMITS, NOW).actions == ()
    assert decide({A: one}, [replica("r1")], LIMITS, NOW).actions == (START, START)


def test_the_next_time_is_the_nearest_deadline() -> None:
    assert decide({A: held(A)}, [replica("r1")], LIMITS, NOW).again_at is None
    assert decide({A: held(A, start_after=NOW + 2)}, [], LIMITS, NOW).again_at == NOW + 2
    draining = replica("r1", "draining", since=NOW - 50)
    assert decide({A: held(A, start_after=NOW + 20)}, [draining], LIMITS, NOW).again_at == NOW + 10


# --- memory

GB = 10**9
ROOM = replace(LIMITS, memory_bytes=4 * GB)
LIMITED = replace(held(A), target=replace(held(A).target, memory_bytes=GB))
GROWN = replica("r1", memory_bytes=int(1.2 * GB))


@pytest.mark.parametrize(
    ("what", "replicas", "actions"),
    [
        (LIMITED, [replica("r1", memory_bytes=GB)], []),
        (LIMITED, [GROWN], [Outgrown(ReplicaId("r1"), at_once=False)]),
        (held(A), [GROWN], []),  # no limit
        (LIMITED, [replica("r1", memory_bytes=int(1.6 * GB))], [Outgrown(ReplicaId("r1"), at_once=True)]),
        (LIMITED, [replica("r1", "starting", memory_bytes=int(1.2 * GB))], []),  # it may give some back
        (LIMITED, [replica("r1", memory_bytes=int(1.2 * GB), ready_bytes=int(1.1 * GB))], []),  # born so
        (LIMITED, [replica("r1", "starting", memory_bytes=2 * GB)], [Outgrown(ReplicaId("r1"), at_once=True)]),
        (replace(LIMITED, replaced_at=(NOW - 9,) * 12), [GROWN], []),
        (replace(LIMITED, replaced_at=(NOW - 3600,) * 12), [GROWN], [Outgrown(ReplicaId("r1"), at_once=False)]),
        # its successor starts first, then it goes
        (LIMITED, [replace(GROWN, outgrown=True)], [START]),
        (LIMITED, [replace(GROWN, outgrown=True), replica("r2", "starting")], []),
        (LIMITED, [replace(GROWN, outgrown=True), replica("r2")], [STOP]),
    ],
)
def test_a_replica_over_its_memory_limit_is_replaced(
    what: RevisionFacts, replicas: list[ReplicaFacts], actions: list[Action]
) -> None:
    assert list(decide({A: what}, replicas, ROOM, NOW).actions) == actions


def test_where_memory_is_short_what_is_over_its_limit_goes_at_once() -> None:
    others = [replica("r2", revision=B, memory_bytes=3 * GB)]
    spared = replace(LIMITED, replaced_at=(NOW - 9,) * 12)
    actions = decide({A: spared, B: held(B)}, [GROWN, *others], ROOM, NOW).actions
    assert actions == (Outgrown(ReplicaId("r1"), at_once=True),)


def test_a_start_needs_what_replicas_of_its_revision_used_when_they_were_new() -> None:
    running = [replica("r1", revision=B, memory_bytes=3 * GB)]
    fits, too_large = held(A, expected_bytes=GB), held(A, expected_bytes=2 * GB)
    assert decide({A: fits, B: held(B)}, running, ROOM, NOW).actions == (START,)
    refused = decide({A: too_large, B: held(B)}, running, ROOM, NOW)
    assert refused.actions == ()
    assert "needs about 2.0 GB, and 1.0 GB of 4.0 GB are free" in refused.refused[A]
    assert refused.again_at == NOW + NO_CAPACITY_SECONDS


def test_an_idle_revision_makes_room_and_stays_down() -> None:
    idle = held(B, target=replace(held(B).target, proved=True), used_at=NOW - 6)
    running = [replica("r1", revision=B, memory_bytes=3 * GB, since=NOW - 99)]
    woken = held(A, expected_bytes=2 * GB, awaited=True, used_at=NOW - 1)
    assert decide({A: woken, B: idle}, running, ROOM, NOW).actions == (Evict(B, "wine"),)
    assert decide({A: woken, B: replace(idle, used_at=NOW - 1)}, running, ROOM, NOW).actions == ()
    gone = replace(idle, evicted=True)
    assert decide({A: woken, B: gone}, running, ROOM, NOW).actions == (STOP,)
    going = [replace(running[0], state=ReplicaState.DRAINING, since=NOW)]
    assert decide({A: woken, B: gone}, going, ROOM, NOW).actions == ()
    assert decide({A: woken, B: gone}, [], ROOM, NOW).actions == (START,)


def test_what_is_parked_makes_room_first() -> None:
    target = replace(held(B).target, proved=True)
    parked, idle = replace(target, parked=True), held(C, target=replace(target, revision=C), used_at=NOW - 90)
    running = [replica(f"r{one}", revision=one, memory_bytes=2 * GB, since=NOW - 99) for one in (B, C)]
    woken = held(A, expected_bytes=GB, awaited=True, used_at=NOW - 1)
    actions = decide({A: woken, B: held(B, target=parked, used_at=NOW - 6), C: idle}, running, ROOM, NOW).actions
    assert actions == (Evict(B, "wine"),)


def test_what_control_does_not_know_to_be_proved_is_not_evicted() -> None:
    running = [replica("r1", revision=B, memory_bytes=3 * GB, since=NOW - 999)]
    woken = held(A, expected_bytes=2 * GB, awaited=True, used_at=NOW - 1)
    assert decide({A: woken, B: held(B)}, running, ROOM, NOW).actions == ()


def test_who_is_waited_for_starts_first() -> None:
    one = replace(ROOM, concurrent_starts=1)
    woken = held(B, awaited=True, used_at=NOW - 1)
    assert decide({A: held(A), B: woken}, [], one, NOW).actions == (Start(B),)
    given_up = replace(woken, used_at=NOW - 6)
    assert decide({A: held(A), B: given_up}, [], one, NOW).actions == (START,)
