"""What every Engine promises."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Protocol

import pytest

from tests.engines.machine import Machine
from tests.fakes.engine import FakeEngine
from tidegate.core.endpoint.revision import ReplicaState, RevisionId, RevisionObservation, RevisionTarget
from tidegate.core.errors import Unavailable
from tidegate.ports import Engine

REV = RevisionId("rev1")


class Place(Protocol):
    """An engine, and how to make happen what it must cope with."""

    engine: Engine

    def target(self, *, loads: bool = True) -> RevisionTarget: ...
    async def go_away(self) -> None: ...
    async def come_back(self) -> None: ...


class LocalPlace:
    """The local engine, a real agent and real processes."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.engine: Engine = machine.engine

    def target(self, *, loads: bool = True) -> RevisionTarget:
        return self._machine.target(stub="" if loads else "fail")

    async def go_away(self) -> None:
        self._machine.kill_agent()

    async def come_back(self) -> None:
        await self._machine.start_agent()


class FakePlace:
    """The fake, told what to do."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._fake = FakeEngine()
        self.engine: Engine = self._fake

    def target(self, *, loads: bool = True) -> RevisionTarget:
        if not loads:
            self._fake.failures[REV] = "The model does not load."
        return self._machine.target()

    async def go_away(self) -> None:
        self._fake.away = True

    async def come_back(self) -> None:
        self._fake.away = False


@pytest.fixture(params=["local", "fake"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    machine = Machine()
    try:
        if request.param == "fake":
            yield FakePlace(machine)
        else:
            await machine.start_agent()
            yield LocalPlace(machine)
    finally:
        await machine.close()


async def until(
    place: Place, holds: Callable[[RevisionObservation | None], bool], within: float = 10.0
) -> RevisionObservation | None:
    deadline = time.monotonic() + within
    while not holds(seen := (await place.engine.observe()).get(REV)):
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.01)
    return seen


async def until_ready(place: Place) -> RevisionObservation:
    seen = await until(place, lambda o: o is not None and o.ready_replicas == 1)
    assert seen is not None
    return seen


async def test_nothing_is_held_at_first(place: Place) -> None:
    assert await place.engine.observe() == {}


async def test_a_target_is_observed_as_it_was_applied_and_becomes_ready(place: Place) -> None:
    target = place.target()
    await place.engine.apply(target)
    assert (await place.engine.observe())[REV].target == target
    seen = await until_ready(place)
    assert seen.target == target
    assert (seen.failed_starts, seen.message) == (0, "")
    assert seen.proof is not None
    [replica] = seen.replicas
    assert replica.state is ReplicaState.READY
    assert replica.address.path
    assert replica.address.secret


async def test_applying_again_changes_nothing(place: Place) -> None:
    await place.engine.apply(place.target())
    before = await until_ready(place)
    await place.engine.apply(place.target())
    after = (await place.engine.observe())[REV]
    assert _without_use(after) == _without_use(before)


def _without_use(seen: RevisionObservation) -> RevisionObservation:
    return replace(seen, replicas=tuple(replace(r, cpu_seconds=0.0, memory_bytes=0) for r in seen.replicas))


async def test_a_proof_that_is_now_on_record_restarts_nothing(place: Place) -> None:
    await place.engine.apply(place.target())
    before = await until_ready(place)
    await place.engine.apply(replace(place.target(), proved=True))
    after = (await place.engine.observe())[REV]
    assert after.target.proved
    assert _without_use(after).replicas == _without_use(before).replicas


async def test_zero_replicas_are_held_too(place: Place) -> None:
    await place.engine.apply(place.target())
    await until_ready(place)
    none = replace(place.target(), replicas=0)
    await place.engine.apply(none)
    seen = await until(place, lambda o: o is not None and not o.replicas)
    assert seen is not None
    assert seen.target == none


async def test_what_does_not_start_is_told(place: Place) -> None:
    await place.engine.apply(place.target(loads=False))
    seen = await until(place, lambda o: o is not None and o.failed_starts > 0)
    assert seen is not None
    assert seen.ready_replicas == 0
    assert seen.message


async def test_removing_ends_in_not_being_observed(place: Place) -> None:
    await place.engine.apply(place.target())
    await until_ready(place)
    await place.engine.remove(REV)
    await until(place, lambda o: o is None)
    await place.engine.remove(REV)


async def test_removing_what_is_not_known_is_nothing(place: Place) -> None:
    await place.engine.remove(RevisionId("unknown"))
    assert await place.engine.observe() == {}


async def test_the_machine_says_who_has_its_memory(place: Place) -> None:
    assert (await place.engine.machine()).holders == ()
    await place.engine.apply(place.target())
    await until_ready(place)
    machine = await place.engine.machine()
    (holder,) = machine.holders
    target = place.target()
    assert (holder.revision, holder.endpoint, holder.served_entity) == (REV, target.endpoint, target.served_entity)
    assert (holder.replicas, holder.stays) == (1, target.min_replicas > 0)
    assert 0 < holder.memory_bytes < machine.memory_bytes
    assert machine.free_bytes == machine.memory_bytes - holder.memory_bytes - machine.templates_bytes
    assert machine.cores >= 1
    assert machine.pid > 0


async def test_while_it_is_away_every_verb_says_so_and_nothing_is_lost(place: Place) -> None:
    await place.engine.apply(place.target())
    before = await until_ready(place)
    await place.go_away()
    for call in (
        place.engine.observe(),
        place.engine.apply(place.target()),
        place.engine.remove(REV),
        place.engine.machine(),
    ):
        with pytest.raises(Unavailable) as raised:
            await call
        assert raised.value.retry_after == 1
    await place.come_back()
    assert _without_use(await until_ready(place)).replicas == _without_use(before).replicas
