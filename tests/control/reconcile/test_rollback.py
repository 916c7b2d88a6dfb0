"""Parking and rollback, pass by pass: what served before comes back at once, whatever happens in between."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.control.house import House, a_house, an_entity
from tidegate.control.endpoints.endpoint_requests import ConfigRequest
from tidegate.core.endpoint.endpoint import ROLLBACK, Endpoint, ParkedConfig
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.revision import RevisionObservation
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion
from tidegate.core.endpoint.status import Deployment
from tidegate.core.errors import Conflict, Unavailable
from tidegate.core.planes.load_report import RevisionLoad
from tidegate.core.rollout.switch import Switch

PARK = 600.0


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path / "data", PARK) as house:
        yield house


async def updated(house: House, *versions: str) -> Endpoint:
    """An endpoint of version 1 that was updated to these, one after the other."""
    await house.create()
    await house.settle()
    for version in versions or ("2",):
        await house.update(version)
        await house.settle()
    return (await house.endpoints.get("wine")).endpoint


def seen(house: House, name: str) -> RevisionObservation:
    """What the engine holds of a served entity."""
    (observation,) = [one for one in house.engine.held.values() if one.target.served_entity == name]
    return observation


async def seconds(house: House, count: float) -> None:
    """Let so many seconds go by, with reports and passes."""
    for _ in range(10):
        house.clock.advance(count / 10)
        house.gateway.report()
        await house.passes(1)


# --- parked


async def test_what_served_before_keeps_its_replicas_for_its_time_and_then_sleeps(house: House) -> None:
    endpoint = await updated(house)
    assert (house.serving, house.running) == (["wine-2"], ["wine-1", "wine-2"])
    assert (seen(house, "wine-1").target.min_replicas, seen(house, "wine-1").target.parked) == (0, True)
    assert endpoint.previous is not None
    assert endpoint.previous.replaced_by == ""
    await seconds(house, PARK - 1)
    assert house.running == ["wine-1", "wine-2"]
    view = await house.endpoints.switches("wine")
    assert (view.parked, view.kept_until) == (endpoint.previous, endpoint.previous.since + PARK)
    await seconds(house, 2)
    assert house.running == ["wine-2"]
    assert {revision.state for revision in house.control.world.snapshot.revisions.values()} == {RevisionState.READY}
    event = next(event for event in await house.endpoints.events("wine") if event.kind == "scaled_to_zero")
    assert event.message == "'wine-1' (wine/1): 1 → 0 replicas: parked for 600 s."
    view = await house.endpoints.switches("wine")
    assert (view.parked, view.kept_until) == (endpoint.previous, None)
    assert await house.state() == ("READY", "NOT_UPDATING")


async def test_what_slept_when_it_was_parked_is_not_started_for_it(house: House) -> None:
    await house.create("wine", replace(an_entity(), scale_to_zero_enabled=True, idle_timeout_seconds=1.0))
    await house.settle()
    await seconds(house, 5)
    assert house.running == []
    await house.update("2")
    await house.settle()
    await seconds(house, 10)
    assert house.running == ["wine-2"]


async def test_the_next_switch_parks_another_and_the_last_one_ends(house: House) -> None:
    await updated(house, "2", "3")
    await house.until(lambda: house.running == ["wine-2", "wine-3"])
    assert len(house.engine.held) == 2
    states = {revision.entity.name: revision.state for revision in house.control.world.snapshot.revisions.values()}
    assert states["wine-1"] is RevisionState.RETIRED


async def test_what_is_parked_goes_with_its_endpoint(house: House) -> None:
    await updated(house)
    await house.endpoints.delete("wine")
    await house.until(lambda: not house.control.world.snapshot.endpoints)
    assert house.engine.held == {}


async def test_its_last_requests_are_answered_before_its_replicas_end(house: House) -> None:
    await updated(house)
    old = seen(house, "wine-1").target.revision
    house.gateway.revisions[old] = RevisionLoad(in_flight=1)
    await seconds(house, PARK + 1)
    assert house.running == ["wine-1", "wine-2"]
    house.gateway.revisions.clear()
    await seconds(house, 1)
    assert house.running == ["wine-2"]


async def test_what_is_parked_can_still_be_read_about(house: House) -> None:
    await updated(house)
    assert "Prepared" in await house.endpoints.build_logs("wine", "wine-1")


# --- rollback


async def test_a_rollback_serves_at_the_next_pass_from_the_replica_that_was_kept(house: House) -> None:
    await updated(house)
    kept = seen(house, "wine-1").replicas
    await house.endpoints.rollback("wine")
    await house.passes(1)
    assert house.serving == ["wine-1"]
    assert seen(house, "wine-1").replicas == kept
    assert await house.state() == ("READY", "NOT_UPDATING")
    await house.settle()
    assert (seen(house, "wine-1").target.min_replicas, seen(house, "wine-1").target.parked) == (1, False)
    assert seen(house, "wine-2").target.parked
    states = (await house.endpoints.get("wine")).status.entities.values()
    assert {state.deployment for state in states} == {Deployment.READY}
    assert (await house.kinds())[-2:] == ["rollback_started", "rolled_back"]
    events = await house.endpoints.events("wine")
    assert events[-1].message == "Configuration 1 (wine/1) serves again, in place of Configuration 2 (wine/2)."


async def test_after_its_time_a_rollback_has_a_replica_started_in_the_same_pass(house: House) -> None:
    await updated(house)
    await seconds(house, PARK + 1)
    assert house.running == ["wine-2"]
    await house.endpoints.rollback("wine")
    await house.passes(1)
    assert house.serving == ["wine-1"]
    assert house.running == ["wine-1", "wine-2"]


async def test_a_rollback_of_a_rollback_returns(house: House) -> None:
    await updated(house)
    for expected in ("wine-1", "wine-2", "wine-1"):
        await house.endpoints.rollback("wine")
        await house.passes(1)
        assert house.serving == [expected]
    await seconds(house, PARK + 1)
    assert house.running == ["wine-1"]
    endpoint = (await house.endpoints.get("wine")).endpoint
    assert endpoint.active is not None
    assert (endpoint.active.version, endpoint.next_version) == (1, 3)


async def test_what_comes_back_begins_with_as_many_replicas_as_it_takes_over_from(house: House) -> None:
    await updated(house)
    new = seen(house, "wine-2").target.revision
    await seconds(house, 3)
    house.gateway.revisions[new] = RevisionLoad(in_flight=1, queued=3, oldest_wait_seconds=0.4, requests=4)
    await seconds(house, 1)
    assert seen(house, "wine-2").target.replicas == 4
    await house.endpoints.rollback("wine")
    await house.passes(1)
    assert (house.serving, seen(house, "wine-1").target.replicas) == (["wine-1"], 4)
    house.gateway.revisions.clear()
    await seconds(house, PARK / 2)
    assert seen(house, "wine-2").target.replicas == 4  # what it had


async def test_who_asks_twice_before_it_is_done_has_asked_once(house: House) -> None:
    await updated(house)
    first = await house.endpoints.rollback("wine")
    second = await house.endpoints.rollback("wine")
    assert first.endpoint == second.endpoint
    await house.settle()
    assert house.serving == ["wine-1"]
    assert (await house.kinds()).count("rollback_started") == 1


async def test_two_at_once_end_in_one_of_the_two(house: House) -> None:
    await updated(house)
    await asyncio.gather(house.endpoints.rollback("wine"), house.endpoints.rollback("wine"))
    await house.settle()
    assert house.serving == ["wine-1"]


async def test_a_rollback_while_an_update_is_on_its_way_drops_that(house: House) -> None:
    await updated(house)
    house.builder.gate.clear()
    await house.update("3")
    await house.until(lambda: house.builder.running == 1)
    view = await house.endpoints.rollback("wine")
    assert view.endpoint.pending is None
    assert view.endpoint.rejected == ((ModelRef("wine", "3"), ModelVersion("wine", "3", registered_at=3)),)
    assert await house.state() == ("READY", "NOT_UPDATING")
    await house.settle()
    assert (house.builder.cancelled, house.serving, house.running) == (1, ["wine-2"], ["wine-1", "wine-2"])
    event = (await house.endpoints.events("wine"))[-1]
    assert event.kind == "update_dropped"
    assert event.message == "The update was taken back before it served; configuration 2 goes on."
    house.builder.gate.set()
    assert (await house.update("3")).endpoint.pending.config.version == 4  # type: ignore[union-attr]
    await house.settle()
    assert house.serving == ["wine-3"]


async def test_after_a_failed_update_a_rollback_leads_to_what_served_before(house: House) -> None:
    await updated(house)
    house.engine.broken["wine-3"] = "It does not load."
    await house.update("3")
    await house.settle()
    assert await house.state() == ("READY", "UPDATE_FAILED")
    await house.endpoints.rollback("wine")
    await house.passes(1)
    assert house.serving == ["wine-1"]
    assert await house.state() == ("READY", "NOT_UPDATING")


async def test_where_nothing_served_before_a_rollback_is_refused(house: House) -> None:
    house.builder.gate.clear()
    await house.create()
    with pytest.raises(Conflict, match="nothing has served yet"):
        await house.endpoints.rollback("wine")
    house.builder.gate.set()
    await house.settle()
    with pytest.raises(Conflict, match="no configuration has served before"):
        await house.endpoints.rollback("wine")


async def test_what_was_rolled_back_from_is_remembered_until_its_owner_updates(house: House) -> None:
    await updated(house)
    await house.endpoints.rollback("wine")
    await house.settle()
    taken = ModelRef("wine", "2"), ModelVersion("wine", "2", registered_at=2)
    assert (await house.endpoints.get("wine")).endpoint.rejected == (taken,)
    await house.update("2")
    assert (await house.endpoints.get("wine")).endpoint.rejected == ()
    await house.settle()
    assert house.serving == ["wine-2"]


async def test_an_update_to_what_sleeps_waits_for_its_replica(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await updated(house)
    await seconds(house, PARK + 1)

    async def refuse(_: object) -> None:
        raise Unavailable("The agent is busy.")

    with monkeypatch.context() as patch:
        patch.setattr(house.engine, "apply", refuse)
        await house.update("1")
        await house.passes(5)
        assert (house.serving, await house.state()) == (["wine-2"], ("READY", "IN_PROGRESS"))
    await house.until(lambda: house.serving == ["wine-1"])
    assert house.running == ["wine-1", "wine-2"]


async def test_a_traffic_split_comes_back(house: House) -> None:
    await house.create("wine", an_entity("1"), an_entity("2"))
    await house.settle()
    await house.endpoints.update_config("wine", ConfigRequest((an_entity("2"), an_entity("3"))))
    await house.settle()
    targets = {one.target.served_entity: one.target.parked for one in house.engine.held.values()}
    assert targets == {"wine-1": True, "wine-2": False, "wine-3": False}
    await house.endpoints.rollback("wine")
    await house.passes(1)
    assert sorted(house.serving) == ["wine-1", "wine-2"]


# --- control dies


@pytest.mark.parametrize("step", ["parked", "over", "asked", "routed", "done"])
async def test_control_may_end_at_every_step_of_a_rollback(
    house: House, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parked = (await updated(house)).previous
    if step == "over":
        await seconds(house, PARK + 1)
    if step in ("asked", "routed", "done"):
        await house.endpoints.rollback("wine")
    if step == "routed":  # the gateways have followed, and that is not saved
        save = house.store.save_endpoint

        async def away(endpoint: Endpoint, switch: Switch | None = None) -> Endpoint:
            if switch is not None:
                raise Unavailable("The disk is away.")
            return await save(endpoint)

        with monkeypatch.context() as patch:
            patch.setattr(house.store, "save_endpoint", away)
            await house.passes(1)
        assert house.serving == ["wine-1"]
    if step == "done":
        await house.passes(1)
    await house.restart_control()
    await house.settle()
    if step in ("parked", "over"):
        assert (house.serving, "wine-1" in house.running) == (["wine-2"], step == "parked")
        assert (await house.endpoints.switches("wine")).parked == parked
        await house.endpoints.rollback("wine")
        await house.passes(1)
    assert house.serving == ["wine-1"]
    await house.passes(1)  # and its replica is seen, where one had to be started
    assert await house.state() == ("READY", "NOT_UPDATING")
    assert [switch.after.config for switch in (await house.endpoints.switches("wine")).switches] == [1, 2, 1]


async def test_after_a_restart_of_control_the_time_goes_on(house: House) -> None:
    await updated(house)
    await seconds(house, PARK - 10)
    await house.restart_control()
    await house.settle()
    assert house.running == ["wine-1", "wine-2"]
    await seconds(house, 11)
    assert house.running == ["wine-2"]


# --- the record


async def test_every_switch_is_on_record(house: House) -> None:
    await house.create()
    await house.settle()
    await house.endpoints.update_config("wine", ConfigRequest((an_entity("2"),)), "maria")
    await house.settle()
    await house.endpoints.rollback("wine")
    await house.settle()
    switches = (await house.endpoints.switches("wine")).switches
    assert [(s.by, s.before and s.before.config, s.after.config) for s in switches] == [
        ("admin", None, 1),
        ("maria", 1, 2),
        (ROLLBACK, 2, 1),
    ]
    assert switches[1].after.versions == {"wine-2": ModelVersion("wine", "2", registered_at=2)}
    parked = (await house.endpoints.switches("wine")).parked
    assert parked is not None
    assert parked == ParkedConfig(parked.config, switches[2].at, ROLLBACK)


async def test_an_update_that_fails_is_no_switch(house: House) -> None:
    await house.create()
    await house.settle()
    house.engine.broken["wine-2"] = "It does not load."
    await house.update("2")
    await house.settle()
    assert len((await house.endpoints.switches("wine")).switches) == 1
