"""The autoscaler in its place: reports and observations in, targets and events out."""

from dataclasses import replace

import pytest

from tests.control.house import ASLEEP, CALM, Gateway, House, an_entity
from tidegate.control.reconcile.replica_loads import SILENCE_SECONDS, ReplicaLoads
from tidegate.core.endpoint.revision import Address, Replica, ReplicaId, ReplicaState, RevisionId
from tidegate.core.planes.load_report import LoadReport, RevisionLoad

SLEEPY = replace(an_entity(), scale_to_zero_enabled=True, idle_timeout_seconds=5.0)
RID = RevisionId("a" * 16)


def held(house: House) -> int:
    """How many replicas the engine holds the revision to that serves."""
    (observation,) = [seen for seen in house.engine.held.values() if not seen.target.parked]
    return observation.target.replicas


async def seconds(house: House, count: int, load: RevisionLoad | None = None) -> None:
    """So many seconds, with a report and a pass in each."""
    for _ in range(count):
        house.clock.advance(1.0)
        if load is not None:
            (rid,) = house.engine.held
            house.gateway.revisions[rid] = load
        house.gateway.report()
        await house.passes(2)


async def kinds(house: House) -> list[str]:
    scaling = ("scaled", "scaled_to_zero", "woken")
    return [event.kind for event in await house.endpoints.events("wine") if event.kind in scaling]


async def woken(house: House) -> None:
    """A gateway has had the agent start a replica."""
    (rid,) = house.engine.held
    observation = house.engine.held[rid]
    await house.engine.apply(replace(observation.target, replicas=1))


async def test_an_idle_endpoint_sleeps_and_is_ready(house: House) -> None:
    await house.create("wine", SLEEPY)
    await house.settle()
    assert held(house) == 1
    await seconds(house, 8)
    assert held(house) == 0
    assert await house.state() == ("READY", "NOT_UPDATING")
    (event,) = [event for event in await house.endpoints.events("wine") if event.kind == "scaled_to_zero"]
    assert event.message == "'wine-1' (wine/1): 1 → 0 replicas: no request for 5 s."


async def test_one_that_may_not_sleep_does_not(house: House) -> None:
    await house.create()
    await house.settle()
    await seconds(house, 100)
    assert held(house) == 1
    assert await kinds(house) == []


async def test_a_wake_is_not_undone(house: House) -> None:
    await house.create("wine", SLEEPY)
    await house.settle()
    await seconds(house, 8)
    await woken(house)
    await seconds(house, 4)
    assert held(house) == 1
    await seconds(house, 4)
    assert held(house) == 0
    assert await kinds(house) == ["scaled_to_zero", "woken", "scaled_to_zero"]


async def test_requests_keep_it_awake(house: House) -> None:
    await house.create("wine", SLEEPY)
    await house.settle()
    for number in range(1, 30):
        await seconds(house, 1, RevisionLoad(requests=number))
    assert held(house) == 1
    await seconds(house, 8)
    assert held(house) == 0


async def test_while_a_gateway_is_away_or_silent_nothing_goes(house: House) -> None:
    await house.create("wine", SLEEPY)
    await house.settle()
    house.clock.advance(SILENCE_SECONDS + 20)  # connected, and says nothing
    await house.passes(3)
    assert held(house) == 1
    await house.gateway.close()
    for _ in range(20):
        house.clock.advance(1.0)
        await house.passes(1)
    assert held(house) == 1
    await house.gateway.connect()
    await seconds(house, 8)
    assert held(house) == 0


async def test_after_a_restart_of_control_the_idle_time_begins_anew(house: House) -> None:
    await house.create("wine", SLEEPY)
    await house.settle()
    await seconds(house, 4)
    await house.restart_control()
    await seconds(house, 3)
    assert held(house) == 1
    await seconds(house, 5)
    assert held(house) == 0


async def test_what_waits_gets_replicas_and_the_reason_is_told(house: House) -> None:
    await house.create()
    await house.settle()
    await seconds(house, 3)
    await seconds(house, 1, RevisionLoad(in_flight=1, queued=3, oldest_wait_seconds=0.4, requests=4))
    assert held(house) == 4
    (event,) = [event for event in await house.endpoints.events("wine") if event.kind == "scaled"]
    assert event.message == (
        "'wine-1' (wine/1): 1 → 4 replicas: 3 requests wait, the oldest for 0.40 s; that is the most that it may have."
    )


async def test_batches_absorb_what_a_model_that_takes_many_at_once_gets(house: House) -> None:
    await house.create()
    await house.settle()
    for number in range(1, 90):
        load = RevisionLoad(
            in_flight=40,
            oldest_wait_seconds=0.004,
            busy_seconds=number,
            requests=5000 * number,
            request_seconds=40.0 * number,
            group=64,
        )
        await seconds(house, 1, load)
    assert held(house) == 1


async def test_a_report_of_one_that_waits_calls_for_a_look_at_once(house: House) -> None:
    calls: list[float] = []
    house.control.wakeups.hurry = lambda: calls.append(house.clock.monotonic())  # type: ignore[method-assign]
    await house.create()
    await house.settle()
    (rid,) = house.engine.held
    assert calls == []
    house.gateway.revisions[rid] = RevisionLoad(queued=1, oldest_wait_seconds=0.12, requests=1)
    house.gateway.report()
    await house.passes(2)
    assert len(calls) == 1


async def test_while_nothing_runs_it_looks_rarely_until_a_request_comes(house: House) -> None:
    await house.create("wine", SLEEPY)
    await house.settle()
    assert house.last_pause == CALM
    await seconds(house, 8)
    await house.settle()
    assert house.last_pause == ASLEEP
    calls: list[float] = []
    house.control.wakeups.hurry = lambda: calls.append(house.clock.monotonic())  # type: ignore[method-assign]
    house.gateway.report()
    await house.passes(1)
    assert calls == []
    (rid,) = house.engine.held
    house.gateway.revisions[rid] = RevisionLoad(requests=1, in_flight=1)
    house.gateway.report()
    await house.passes(1)
    assert calls
    await woken(house)
    await house.settle()
    assert house.last_pause == CALM


async def test_what_an_update_brings_begins_with_as_many_as_it_takes_over_from(house: House) -> None:
    await house.create()
    await house.settle()
    await seconds(house, 3)
    await seconds(house, 1, RevisionLoad(in_flight=1, queued=3, oldest_wait_seconds=0.4, requests=4))
    house.gateway.revisions.clear()
    await house.update("2")
    await house.settle()
    assert held(house) == 4


async def test_nothing_goes_while_an_update_is_on_its_way(house: House) -> None:
    await house.create("wine", SLEEPY)
    await house.settle()
    house.builder.gate.clear()
    await house.update("2")
    await seconds(house, 30)
    assert held(house) == 1
    house.builder.gate.set()
    await house.settle()


async def test_an_explicit_minimum_is_held(house: House) -> None:
    entity = replace(an_entity(), min_provisioned_concurrency=3, max_provisioned_concurrency=6)
    await house.create("wine", entity)
    await house.settle()
    assert held(house) == 3


async def test_a_sleeper_that_fails_to_wake_is_not_ready(house: House) -> None:
    await house.create("wine", SLEEPY)
    await house.settle()
    await seconds(house, 8)
    (rid,) = house.engine.held
    observation = house.engine.held[rid]
    target = replace(observation.target, replicas=1)
    house.engine.held[rid] = replace(observation, target=target, failed_starts=1, message="It does not load.")
    await house.passes(1)
    assert await house.state() == ("NOT_READY", "NOT_UPDATING")


# --- reports added up


def a_report(gateway: int, pid: int, **load: float) -> LoadReport:
    return LoadReport(gateway, pid, "1", {RID: RevisionLoad(**load)})  # type: ignore[arg-type]


def test_counts_of_two_gateways_add_up_and_what_was_before_is_left_out() -> None:
    loads = ReplicaLoads()
    loads.take([a_report(0, 1, requests=1000, busy_seconds=500.0), a_report(1, 2, requests=10)], 0.0)
    assert loads.point(RID, 0.0).requests == 0
    loads.take([a_report(0, 1, requests=1004, busy_seconds=501.0, in_flight=2), a_report(1, 2, requests=13)], 1.0)
    point = loads.point(RID, 1.0)
    assert (point.requests, point.busy_seconds, point.in_flight) == (7, 1.0, 2)


def test_a_gateway_that_starts_again_counts_from_nothing_and_nothing_falls() -> None:
    loads = ReplicaLoads()
    loads.take([a_report(0, 1, requests=100)], 0.0)
    loads.take([a_report(0, 1, requests=110)], 1.0)
    loads.take([a_report(0, 9, requests=3)], 2.0)
    assert loads.point(RID, 2.0).requests == 13


def test_the_same_report_is_taken_once_and_a_broken_link_takes_nothing_back() -> None:
    loads, report = ReplicaLoads(), a_report(0, 1, requests=5, in_flight=1)
    loads.take([a_report(0, 1)], 0.0)
    for _ in range(3):
        loads.take([report], 1.0)
    loads.take([], 2.0)
    assert (loads.point(RID, 2.0).requests, loads.point(RID, 2.0).in_flight) == (5, 0)
    loads.take([a_report(0, 1, requests=6)], 3.0)
    assert loads.point(RID, 3.0).requests == 6


def test_all_is_known_from_when_every_gateway_had_reported() -> None:
    loads, one = ReplicaLoads(), a_report(0, 1)

    def known(now: float, *reports: LoadReport) -> float | None:
        loads.take(reports, now)
        loads.look(2, now)
        return loads.known_since

    assert known(0.0, one) is None
    assert known(1.0, one, a_report(1, 2)) == 1.0
    assert known(5.5, one, a_report(1, 2)) is None  # the first has said nothing for too long
    assert known(6.0, a_report(0, 1), a_report(1, 2)) == 6.0


@pytest.mark.parametrize("begun", [ReplicaState.READY, ReplicaState.STARTING])
def test_what_a_replica_used_before_it_was_ready_is_not_counted(begun: ReplicaState) -> None:
    def replica(state: ReplicaState, cpu: float) -> Replica:
        return Replica(ReplicaId("r"), state, Address("/r", "s"), 1, 0.0, cpu_seconds=cpu)

    def other(cpu: float) -> Replica:
        return Replica(ReplicaId("s"), ReplicaState.READY, Address("/s", "s"), 2, 0.0, cpu_seconds=cpu)

    loads = ReplicaLoads()
    loads.measured(RID, [other(3.0)])
    loads.measured(RID, [other(3.5), replica(begun, 0.8)])
    loads.measured(RID, [other(3.5), replica(ReplicaState.READY, 1.0)])
    loads.measured(RID, [replica(ReplicaState.READY, 1.25)])
    used = loads.point(RID, 0.0).cpu_seconds - 3.5
    assert used == pytest.approx(0.45 if begun is ReplicaState.READY else 0.25)


async def test_two_gateways_are_both_needed(house: House) -> None:
    house.gateways.expected = 2
    await house.create("wine", SLEEPY)
    await house.until(lambda: house.engine.held)
    await seconds(house, 20)
    assert held(house) == 1
    second = Gateway(house.data.planes_socket, 1, 2)
    await second.connect()
    for _ in range(8):
        second.report()
        await seconds(house, 1)
    assert held(house) == 0
    await second.close()
