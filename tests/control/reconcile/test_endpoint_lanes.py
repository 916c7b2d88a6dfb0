"""No endpoint waits for another's actions, and none gets a second action while one of its own runs."""

import asyncio
import logging

import pytest

from tests.control.house import House, an_entity, until
from tidegate.control.reconcile.endpoint_lanes import EndpointLanes
from tidegate.control.wakeups import Wakeups
from tidegate.core.endpoint.revision import RevisionTarget

ENDPOINTS = [f"wine{number}" for number in range(20)]


async def served(house: House, *entities: str) -> None:
    """Pass until the newest table routes to these served entities."""
    async with asyncio.timeout(5):
        while house.gateways.table is None or house.serving != list(entities):
            await house.control.reconcile()
            await asyncio.sleep(0.002)


async def test_twenty_switches_wait_for_gateways_at_the_same_time(house: House) -> None:
    """A gateway that does not follow costs each switch 1 s. One after another, they would take 20 s and more."""
    for name in ENDPOINTS:
        await house.create(name)
    await house.settle()
    house.gateway.stubborn = True
    for name in ENDPOINTS:
        await house.update("2", name)
    async with asyncio.timeout(15):
        while not all([await house.state(name) == ("READY", "NOT_UPDATING") for name in ENDPOINTS]):
            await house.control.reconcile()
            house.clock.advance(0.25)
            await asyncio.sleep(0.01)
    assert house.serving == ["wine-2"] * len(ENDPOINTS)


async def test_a_preparation_that_does_not_end_keeps_nobody_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, begun = asyncio.Event(), asyncio.Event()

    async def endless(*_: object) -> None:
        begun.set()
        while not stuck.is_set():
            try:
                await stuck.wait()
            except asyncio.CancelledError:
                continue

    make = house.builder.make
    monkeypatch.setattr(house.builder, "make", endless)
    await house.create("stuck")
    await house.passes(5)
    await begun.wait()
    monkeypatch.setattr(house.builder, "make", make)
    await house.endpoints.delete("stuck")
    await house.create("wine", an_entity("2"))
    try:
        await served(house, "wine-2")
        assert house.control.actor.busy  # the first one is waited for still
    finally:
        stuck.set()


async def test_an_engine_that_stalls_at_one_endpoint_goes_on_with_the_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply, stalled, asked = house.engine.apply, asyncio.Event(), 0

    async def slowly(target: RevisionTarget) -> None:
        nonlocal asked
        if target.endpoint == "slow":
            asked += 1
            await stalled.wait()
        await apply(target)

    monkeypatch.setattr(house.engine, "apply", slowly)
    await house.create("slow")
    await house.create("wine")
    await served(house, "wine-1")
    assert asked == 1  # not asked again while it waits
    stalled.set()
    await until(lambda: not house.control.actor.busy)
    await house.until(lambda: sorted(house.serving) == ["wine-1", "wine-1"])


async def test_a_look_that_began_before_a_write_does_not_take_it_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch that is on record is routed, though the store was read just before."""
    await house.create()
    await house.settle()
    world, read = house.control.world, house.store.endpoints
    (endpoint,) = world.snapshot.endpoints

    async def slowly() -> object:
        found = await read()
        world.show(await house.store.save_endpoint(endpoint))
        return found

    monkeypatch.setattr(house.store, "endpoints", slowly)
    house.control.wakeups.changed()
    await world.observe()
    assert [one.resource_version for one in world.snapshot.endpoints] == [endpoint.resource_version + 1]


async def test_what_was_seen_while_a_lane_ran_is_not_acted_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pass looked before the lane's last write: it must not do the same once more."""
    apply, released, applied = house.engine.apply, asyncio.Event(), []

    async def slowly(target: RevisionTarget) -> None:
        applied.append(target.revision)
        if len(applied) == 1:
            await released.wait()
        await apply(target)

    monkeypatch.setattr(house.engine, "apply", slowly)
    await house.create()
    async with asyncio.timeout(5):
        while not house.control.actor.busy:
            await house.control.reconcile()
            await asyncio.sleep(0.002)
    observe = house.engine.observe

    async def ends_meanwhile() -> object:
        seen = await observe()
        released.set()
        await until(lambda: not house.control.actor.busy)
        return seen

    monkeypatch.setattr(house.engine, "observe", ends_meanwhile)
    await house.control.reconcile()
    assert len(applied) == 1


async def test_a_lane_that_raises_is_told_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    wakeups = Wakeups()
    lanes = EndpointLanes(wakeups)
    wakeups.store_changed = False

    async def defect() -> bool:
        raise RuntimeError("a defect")

    async def cancelled() -> bool:
        raise asyncio.CancelledError

    async def fine() -> bool:
        return False

    caplog.set_level(logging.ERROR)
    assert await lanes.run({"a": defect, "b": cancelled, "c": fine})
    assert [record.getMessage() for record in caplog.records] == ["the actions of an endpoint failed"] * 2
    assert (lanes.busy, wakeups.store_changed) == (frozenset(), True)
    assert not await lanes.run({"c": fine})
