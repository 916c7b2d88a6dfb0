"""What the engine did by itself stands once in the endpoint's history, whatever happens to control."""

from dataclasses import replace

from tests.control.house import House
from tidegate.core.endpoint.revision import Notice
from tidegate.core.errors import Unavailable


async def told(house: House) -> list[tuple[float, str, str]]:
    """The engine's events of the endpoint."""
    events = await house.endpoints.events("wine")
    return [(e.at, e.kind, e.message) for e in events if e.kind in ("memory_limit", "no_capacity", "evicted")]


def notice(house: House, *notices: Notice) -> None:
    """The engine's newest notices of its one revision."""
    ((rid, observation),) = house.engine.held.items()
    house.engine.held[rid] = replace(observation, notices=notices)


GROWN = Notice(7.25, "memory_limit", "Replica 1a2b3c4d used 4.3 GB.")
EVICTED = Notice(8.5, "evicted", "Idle for 9 s.")


async def test_a_notice_becomes_an_event_once(house: House) -> None:
    await house.create()
    await house.settle()
    notice(house, GROWN)
    await house.passes(3)
    written = [(7.25, "memory_limit", "Served entity 'wine-1' (wine/1): Replica 1a2b3c4d used 4.3 GB.")]
    assert await told(house) == written
    notice(house, GROWN, EVICTED)
    await house.passes(3)
    assert await told(house) == [*written, (8.5, "evicted", "Served entity 'wine-1' (wine/1): Idle for 9 s.")]


async def test_control_that_was_restarted_writes_nothing_twice(house: House) -> None:
    await house.create()
    await house.settle()
    notice(house, GROWN)
    await house.passes(2)
    await house.restart_control()
    notice(house, GROWN, EVICTED)
    await house.passes(3)
    assert [at for at, *_ in await told(house)] == [7.25, 8.5]


async def test_a_store_that_is_away_loses_no_notice(house: House) -> None:
    await house.create()
    await house.settle()
    notice(house, GROWN, EVICTED)
    add, tries = house.store.add_event, 0

    async def away(event):  # type: ignore[no-untyped-def]
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable("The database is away.", retry_after=1)
        await add(event)

    house.store.add_event = away  # type: ignore[method-assign]
    await house.passes(5)
    assert [at for at, *_ in await told(house)] == [7.25, 8.5]


async def test_the_limit_is_that_of_the_workload_type(house: House) -> None:
    world = house.control.world
    world.snapshot = replace(world.snapshot, memory_limits={"CPU": 4, "CPU_LARGE": 16})
    await house.create()
    await house.settle()
    assert [o.target.memory_bytes for o in house.engine.held.values()] == [4]


async def test_the_state_says_what_keeps_a_first_replica_from_starting(house: House) -> None:
    house.engine.broken["wine-1"] = "unused"
    await house.create()
    await house.until(lambda: house.engine.held)
    ((rid, observation),) = house.engine.held.items()
    blocked = replace(observation, failed_starts=0, message="There is no room for a replica of 'wine'.")
    house.engine.held[rid] = blocked
    await house.passes(2)
    view = await house.endpoints.get("wine")
    assert view.status.message == "There is no room for a replica of 'wine'."


async def test_an_update_that_there_is_no_room_for_waits_without_limit_and_says_so(house: House) -> None:
    await house.create()
    await house.settle()
    house.engine.broken["wine-2"] = "unused"
    await house.update("2")
    await house.until(lambda: len(house.engine.held) == 2)
    (rid,) = [rid for rid, seen in house.engine.held.items() if seen.target.served_entity == "wine-2"]
    full = "There is no room for a replica of 'wine'."
    house.engine.held[rid] = replace(house.engine.held[rid], failed_starts=0, message=full)
    for _ in range(10):
        house.clock.advance(86400.0)
        await house.passes(2)
    assert (await house.state(), house.serving) == (("READY", "IN_PROGRESS"), ["wine-1"])
    assert (await house.endpoints.get("wine")).status.message == full
    del house.engine.broken["wine-2"]
    house.engine.held.clear()  # there is room again
    await house.until(lambda: house.serving == ["wine-2"])
