"""The number of replicas: rule by rule, over traces, and for any load at all."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from bench.simulator.model import Outcome, Trace, run
from bench.simulator.traces import TRACES
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.draws import examples
from tidegate.core.endpoint.served_entity import ScalingPolicy
from tidegate.core.scaling.load_window import LoadPoint
from tidegate.core.scaling.scaling import STABLE_SECONDS, STAND_INS, ObservedLoad, ScaleDecision, ScalingState, decide

CORES = 2
WIDE = ScalingPolicy(0, 16, 30.0)
PATIENT = ScalingPolicy(0, 16, 600.0)


class Revision:
    """A revision under a load that a test makes up, looked at each second. It waits rather than computes."""

    def __init__(self, replicas: int, policy: ScalingPolicy = WIDE, **observed: Any) -> None:
        self.now = 0.0
        self.policy, self.state = policy, ScalingState(replicas, 0.0)
        self.observed = replace(ObservedLoad(LoadPoint(0.0, cpu_seconds=0.1), replicas, replicas, 0.0), **observed)
        self.decisions: list[ScaleDecision] = []

    @property
    def replicas(self) -> int:
        return self.state.replicas

    def look(self, seconds: float = 1.0, **observed: Any) -> ScaleDecision:
        """Look again after so many seconds; `load_…` is what has changed in the load."""
        self.now += seconds
        load = {name.removeprefix("load_"): value for name, value in observed.items() if name.startswith("load_")}
        seen = {name: value for name, value in observed.items() if not name.startswith("load_")}
        point = replace(self.observed.load, at=self.now, **load)
        held = {"held": self.replicas, "ready": self.replicas, **seen}
        self.observed = replace(self.observed, load=point, **held)
        before = self.replicas
        decision, self.state = decide(self.policy, self.state, self.observed, CORES, self.now)
        if decision.replicas != before:
            self.decisions.append(decision)
        return decision

    def work(self, seconds: int, at_once: float, service: float = 0.1, cpu_share: float = 0.02) -> None:
        """So many seconds of callers who always have so many requests here; what finds no replica waits."""
        for _ in range(seconds):
            load, busy = self.observed.load, min(at_once, max(1, self.replicas))
            queued = int(at_once - busy)
            self.look(
                load_requests=load.requests + round(busy / service),
                load_request_seconds=load.request_seconds + at_once,
                load_busy_seconds=load.busy_seconds + busy,
                load_cpu_seconds=load.cpu_seconds + busy * cpu_share,
                load_in_flight=int(busy),
                load_queued=queued,
                load_oldest_wait_seconds=queued * service / busy if busy else 0.0,
            )

    def rest(self, seconds: int, **observed: Any) -> None:
        """So many seconds of nothing."""
        for _ in range(seconds):
            self.look(load_in_flight=0, load_queued=0, load_oldest_wait_seconds=0.0, **observed)


# --- up


def test_replicas_follow_the_demand_at_a_target_utilisation() -> None:
    revision = Revision(4)
    revision.work(60, 3.5)
    assert revision.replicas == 5  # 3.5 / 0.7


def test_the_reason_says_what_was_seen() -> None:
    revision = Revision(2)
    revision.work(10, 7.2)
    assert revision.decisions[-1].reason.startswith("7.2 requests at once over the last ")


def test_twice_the_demand_is_a_panic_of_seconds() -> None:
    revision = Revision(2)
    revision.work(90, 1.0)
    revision.work(7, 8.0)
    assert revision.replicas >= 6


def test_a_request_that_waits_is_not_waited_for() -> None:
    revision = Revision(1)
    revision.work(30, 0.5)
    decision = revision.look(0.3, load_queued=6, load_oldest_wait_seconds=0.3)
    assert decision.replicas > 1
    assert decision.reason == "6 requests wait, the oldest for 0.30 s"


def test_before_it_has_waited_nothing_is_due() -> None:
    revision = Revision(2)
    revision.work(30, 0.5)
    assert revision.look(0.1, load_queued=6, load_oldest_wait_seconds=0.05).replicas == 2


def test_a_replica_that_is_held_up_is_no_replica() -> None:
    revision = Revision(1)
    revision.work(30, 0.02, service=0.001)
    decision = revision.look(0.1, load_in_flight=1, load_queued=1, load_oldest_wait_seconds=0.01, load_stuck=1)
    assert decision == ScaleDecision(3, "a replica is held up far longer than usual, and 1 request waits")
    assert revision.look(0.1).replicas == 3  # while it starts
    revision.rest(3, load_stuck=0)
    revision.work(50, 0.02, service=0.001)
    assert revision.replicas == 3  # the next one that is held up finds others beside it


def test_one_that_is_held_up_and_nobody_waits_is_let_be() -> None:
    revision = Revision(1)
    revision.work(30, 0.02, service=0.001)
    assert revision.look(0.1, load_in_flight=1, load_stuck=1).replicas == 1


def test_several_that_are_held_up_have_stand_ins_before_anybody_waits() -> None:
    revision = Revision(3)
    revision.work(30, 0.02, service=0.001)
    decision = revision.look(0.1, load_in_flight=2, load_stuck=2)
    assert decision == ScaleDecision(4, "2 replicas are held up far longer than usual, and 0 requests wait")


def test_each_that_is_held_up_has_a_stand_in_within_the_endpoints_bounds() -> None:
    revision = Revision(1)
    revision.work(60, 0.5, cpu_share=1.0)
    held_up = {"load_queued": 9, "load_oldest_wait_seconds": 0.01}
    for number in range(1, 20):
        revision.look(0.1, load_in_flight=number, load_stuck=number, **held_up)
        assert revision.replicas == min(number + STAND_INS, revision.policy.max_replicas)


def test_replicas_that_start_slowly_are_not_started_again_and_again() -> None:
    revision = Revision(1)
    revision.work(30, 0.6)
    revision.look(0.3, load_queued=3, load_oldest_wait_seconds=0.3)
    first = revision.replicas
    for wait in range(1, 30):
        revision.look(1.0, load_queued=3 + wait, load_oldest_wait_seconds=0.3 + wait, ready=1)
    assert revision.replicas <= first + 1


def test_a_model_that_computes_gets_no_more_replicas_than_cores() -> None:
    revision = Revision(1)
    revision.work(120, 12.0, cpu_share=1.0)
    assert revision.replicas == CORES


def test_nor_does_one_that_is_not_measured() -> None:
    revision = Revision(1)
    revision.work(120, 12.0, cpu_share=0.0)
    revision = Revision(1)
    revision.observed = replace(revision.observed, load=LoadPoint(0.0))
    revision.work(120, 12.0, cpu_share=0.0)
    assert revision.replicas == CORES


def test_one_that_waits_gets_as_many_as_it_may_have() -> None:
    revision = Revision(1)
    revision.work(20, 12.0)
    assert revision.replicas == 16


@pytest.mark.parametrize(("service", "most"), [(0.002, 1), (0.05, 16)])
def test_batches_absorb_what_is_through_at_once(service: float, most: int) -> None:
    """A replica that takes up to 40 at once and is never idle, with batches of 2 ms or of 50 ms."""
    revision = Revision(1, batched=True)
    for _ in range(120):
        load = revision.observed.load
        revision.look(
            load_requests=load.requests + round(40 / service),
            load_request_seconds=load.request_seconds + 60,
            load_busy_seconds=load.busy_seconds + revision.replicas,
            load_cpu_seconds=load.cpu_seconds + revision.replicas * 0.02,
            load_in_flight=40,
            load_queued=20,
            load_oldest_wait_seconds=service,
        )
    assert revision.replicas == 1 if most == 1 else 1 < revision.replicas <= most


# --- down


def test_down_by_half_at_most_and_only_after_a_stable_window() -> None:
    revision = Revision(12, PATIENT)
    revision.work(30, 8.0)
    revision.rest(60)
    assert revision.replicas == 12
    revision.rest(600)
    assert [decision.replicas for decision in revision.decisions] == [7, 4, 2, 1, 0]


def test_after_the_idle_time_all_go_by_half_at_each_step() -> None:
    revision = Revision(12)
    revision.work(30, 8.0)
    revision.rest(29)
    assert revision.replicas == 12
    revision.rest(30)
    assert [decision.replicas for decision in revision.decisions] == [6, 3, 1, 0]
    hasty = Revision(4, ScalingPolicy(0, 16, 1.0))
    hasty.work(10, 2.0)
    hasty.rest(5)
    assert hasty.replicas == 0


def test_to_nothing_after_the_idle_time_and_no_sooner() -> None:
    revision = Revision(1)
    revision.work(5, 0.5)
    revision.rest(29)
    assert revision.replicas == 1
    revision.rest(2)
    assert revision.replicas == 0
    assert revision.decisions == [ScaleDecision(0, "no request for 30 s")]


def test_a_request_that_came_and_went_between_two_looks_counts() -> None:
    revision = Revision(1)
    revision.rest(29)
    revision.look(load_requests=1)
    revision.rest(29)
    assert revision.replicas == 1


@pytest.mark.parametrize("change", [{"known_since": None}, {"rolling_out": True}])
def test_never_down_while_something_is_not_known_or_rolls_out(change: dict[str, Any]) -> None:
    many, one = Revision(8), Revision(1)
    for revision in (many, one):
        revision.rest(300, **change)
    assert (many.replicas, one.replicas) == (8, 1)


def test_after_a_gap_in_what_is_known_a_whole_window_is_waited_for() -> None:
    revision = Revision(8, PATIENT)
    revision.rest(50)
    revision.rest(int(STABLE_SECONDS) - 1, known_since=50.0)
    assert revision.replicas == 8
    revision.rest(2)
    assert revision.replicas == 4


def test_never_below_what_is_under_way() -> None:
    revision = Revision(8)
    for _ in range(300):
        revision.look(load_in_flight=7)
    assert revision.replicas >= 7


def test_the_fewest_that_it_may_have_stay() -> None:
    revision = Revision(1, ScalingPolicy(3, 8, 1.0))
    revision.rest(300)
    assert revision.replicas == 3


def test_who_grows_again_soon_is_kept_longer() -> None:
    revision = Revision(1, ScalingPolicy(1, 16, 1800.0))
    for _ in range(2):
        revision.work(20, 6.0)
        revision.rest(100)
    settled = len(revision.decisions)
    for _ in range(10):
        revision.work(20, 6.0)
        revision.rest(100)
    assert len(revision.decisions) == settled


# --- from nothing


def test_what_a_gateway_has_woken_is_not_put_to_sleep_again() -> None:
    revision = Revision(0)
    decision = revision.look(held=1, ready=0)
    assert decision == ScaleDecision(1, "a request came")
    revision.rest(29)
    assert revision.replicas == 1
    revision.rest(2)
    assert revision.replicas == 0


def test_what_is_over_does_not_wake() -> None:
    revision = Revision(1, replace(WIDE, idle_timeout_seconds=5.0))
    revision.work(30, 0.6)
    revision.rest(60)
    assert [decision.replicas for decision in revision.decisions] == [0]


def test_a_request_wakes_though_the_engine_was_not_told() -> None:
    assert Revision(0).look(load_queued=1).replicas == 1


# --- traces


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return {trace.name: run(trace) for trace in TRACES}


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_a_trace_causes_no_more_scale_events_than_stated(trace: Trace, outcomes: dict[str, Outcome]) -> None:
    changes = outcomes[trace.name].changes
    assert len(changes) <= trace.most_events, changes


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_whatever_the_trace_bounds_hold_and_no_step_down_is_more_than_half(
    trace: Trace, outcomes: dict[str, Outcome]
) -> None:
    for change in outcomes[trace.name].changes:
        assert trace.policy.min_replicas <= change.after <= trace.policy.max_replicas
        assert 2 * change.after >= change.before - 1
        assert change.reason


def replicas_at(outcome: Outcome, begin: float, end: float) -> Iterator[int]:
    return (row[2] for row in outcome.rows if begin <= row[0] < end)


def test_a_step_is_followed_within_two_seconds(outcomes: dict[str, Outcome]) -> None:
    assert min(replicas_at(outcomes["step"], 32, 120)) >= 7


def test_a_steady_load_comes_to_rest(outcomes: dict[str, Outcome]) -> None:
    assert len(set(replicas_at(outcomes["constant"], 60, 1200))) == 1


def test_flapping_faster_than_the_window_ends_in_rest(outcomes: dict[str, Outcome]) -> None:
    assert len(set(replicas_at(outcomes["flapping"], 60, 600))) == 1


def test_what_computes_stays_within_the_cores(outcomes: dict[str, Outcome]) -> None:
    assert max(replicas_at(outcomes["cores"], 0, 240)) == 2


def test_what_waits_is_not_taken_for_little_load(outcomes: dict[str, Outcome]) -> None:
    """Ray #18925: nothing goes while requests wait or are under way."""
    waited = [at for at, _, _, _, waiting in outcomes["ray-18925"].rows if waiting]
    assert all(change.after > change.before for change in outcomes["ray-18925"].changes if change.at <= max(waited))


def test_one_request_to_nothing_starts_one_replica(outcomes: dict[str, Outcome]) -> None:
    assert max(replicas_at(outcomes["ray-61731"], 0, 120)) == 1


def test_newborn_replicas_do_not_speak_against_load(outcomes: dict[str, Outcome]) -> None:
    assert all(change.after > change.before for change in outcomes["ray-39881"].changes)


def test_a_restart_of_control_takes_nothing_away(outcomes: dict[str, Outcome]) -> None:
    assert all(change.after > change.before for change in outcomes["restart"].changes if 100 <= change.at < 160)


# --- any load

LOADS = st.lists(
    st.tuples(
        st.floats(0.05, 5.0),  # seconds since the last look
        st.integers(0, 200),  # requests that came
        st.integers(0, 20),  # under way
        st.integers(0, 500),  # waiting
        st.floats(0.0, 20.0),  # the oldest of them
        st.floats(0.0, 1.0),  # how busy replicas were
        st.sampled_from(("known", "known", "known", "unknown", "rolling")),
    ),
    max_size=150,
)
POLICIES = st.builds(
    lambda low, more, idle: ScalingPolicy(low, max(1, low + more), idle),
    st.integers(0, 4),
    st.integers(0, 20),
    st.floats(1.0, 1800.0),
)


@settings(max_examples=examples(150), deadline=None, derandomize=True)
@given(policy=POLICIES, loads=LOADS, batched=st.booleans())
def test_whatever_comes_the_promises_hold(policy: ScalingPolicy, loads: list[tuple[Any, ...]], batched: bool) -> None:
    revision = Revision(max(1, policy.min_replicas), policy, batched=batched)
    for seconds, came, under_way, waiting, oldest, busy, knowledge in loads:
        before, load = revision.replicas, revision.observed.load
        in_flight = min(int(under_way), before) if not batched else int(under_way)
        revision.look(
            seconds,
            load_requests=load.requests + int(came),
            load_request_seconds=load.request_seconds + seconds * (in_flight + int(waiting)),
            load_busy_seconds=load.busy_seconds + seconds * busy * before,
            load_cpu_seconds=load.cpu_seconds + seconds * busy * before * 0.1,
            load_in_flight=in_flight,
            load_queued=int(waiting),
            load_oldest_wait_seconds=oldest if waiting else 0.0,
            known_since=None if knowledge == "unknown" else 0.0,
            rolling_out=knowledge == "rolling",
        )
        after = revision.replicas
        assert policy.min_replicas <= after <= policy.max_replicas
        assert 2 * after >= before - 1
        assert after >= before or knowledge == "known"
        assert after >= min(before, in_flight) or batched
        assert after > 0 or not (in_flight or waiting)


@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(
    less=st.floats(0.0, 12.0),
    more=st.floats(0.0, 6.0),
    service=st.floats(0.02, 2.0),
    share=st.sampled_from((0.02, 1.0)),
)
def test_more_load_never_means_fewer_replicas(less: float, more: float, service: float, share: float) -> None:
    one, other = Revision(1), Revision(1)
    one.work(60, less, service, share)
    other.work(60, less + more, service, share)
    assert other.replicas >= one.replicas


@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(at_once=st.floats(0.05, 14.0), service=st.floats(0.02, 2.0))
def test_a_constant_load_comes_to_rest(at_once: float, service: float) -> None:
    revision = Revision(1)
    revision.work(130, at_once, service)
    rest = revision.replicas
    revision.work(600, at_once, service)
    assert revision.replicas == rest
