"""A switch whose store fails, or whose control ends, at any of its steps: what has answered once is not left again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.control.house import Gateway, House, a_house, until
from tidegate.control.publish.gateway_links import Gateways
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.revision import revision_ids
from tidegate.core.errors import Unavailable
from tidegate.core.planes.load_report import RevisionLoad
from tidegate.core.planes.route_table import RouteTable
from tidegate.core.rollout.replay import Findings
from tidegate.core.rollout.switch import Switch

Save = Callable[[Endpoint, Switch | None], Awaitable[Endpoint]]
Fault = Callable[[Save], Save]
BEGINS, ENDS = 0, 1  # the saves of a switch


class Killed(BaseException):
    """Control ends here."""


@pytest.fixture(params=[1, 2])
async def serving(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """Version 1 serves, by so many gateways; as `house.others` all but the first."""
    async with a_house(tmp_path / "data", 600.0) as house:
        house.expected = request.param
        await restart(house)
        await house.create()
        await house.settle()
        yield house
        await asyncio.gather(*(other.close() for other in others(house)))


def others(house: House) -> list[Gateway]:
    return getattr(house, "others", [])


async def restart(house: House) -> None:
    """Another control, and its gateways come back."""
    await asyncio.gather(*(other.close() for other in others(house)))
    await house.restart_control()
    house.others = [Gateway(house.data.planes_socket, number) for number in range(1, house.expected)]  # type: ignore[attr-defined]
    await asyncio.gather(*(other.connect() for other in others(house)))


@pytest.fixture
def routed(serving: House, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions that were routed to, one after the other. None of them before that is on record."""
    versions: list[str] = []
    publish = Gateways.publish

    def noted(self: Gateways, table: RouteTable) -> None:
        (endpoint,) = serving.store.all_endpoints
        assert endpoint.routed.active is not None
        ids = revision_ids(endpoint.id, endpoint.routed.active)
        assert table.endpoints["wine"].served == ids, "another version is on record than is routed to"
        (version,) = (name.removeprefix("wine-") for name in table.endpoints["wine"].served)
        if versions[-1:] != [version]:
            versions.append(version)
        publish(self, table)

    monkeypatch.setattr(Gateways, "publish", noted)
    return versions


def refused(save: Save) -> Save:
    async def saved(endpoint: Endpoint, switch: Switch | None) -> Endpoint:
        raise Unavailable("The disk is away.")

    return saved


def unanswered(save: Save) -> Save:
    async def saved(endpoint: Endpoint, switch: Switch | None) -> Endpoint:
        await save(endpoint, switch)
        raise Unavailable("The connection to the database broke.")

    return saved


def killed_before(save: Save) -> Save:
    async def saved(endpoint: Endpoint, switch: Switch | None) -> Endpoint:
        raise Killed

    return saved


def killed_after(save: Save) -> Save:
    async def saved(endpoint: Endpoint, switch: Switch | None) -> Endpoint:
        await save(endpoint, switch)
        raise Killed

    return saved


def break_save(house: House, monkeypatch: pytest.MonkeyPatch, number: int, fault: Fault) -> list[Endpoint]:
    """Let the so-and-so-many-th save of an endpoint from now on go wrong. Returns what was to be saved so far."""
    sound, saved = house.store.save_endpoint, list[Endpoint]()

    async def save(endpoint: Endpoint, switch: Switch | None = None) -> Endpoint:
        saved.append(endpoint)
        return await (fault(sound) if len(saved) == number + 1 else sound)(endpoint, switch)

    monkeypatch.setattr(house.store, "save_endpoint", save)
    return saved


async def passes(house: House) -> bool:
    """Pass until all is as asked; whether control ended at it."""
    try:
        await house.settle()
    except Killed:
        return True
    return False


async def record(house: House) -> list[int]:
    return [switch.after.config for switch in (await house.endpoints.switches("wine")).switches]


FAULTS = [refused, unanswered, killed_before, killed_after]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("number", [BEGINS, ENDS])
async def test_whatever_fails_in_a_switch_the_routes_change_once(
    serving: House, routed: list[str], monkeypatch: pytest.MonkeyPatch, number: int, fault: Fault
) -> None:
    await serving.update("2")
    break_save(serving, monkeypatch, number, fault)
    if await passes(serving):
        await restart(serving)
        await serving.settle()
    serving.control.wakeups.changed()
    await serving.settle()
    assert routed[-1] == "2"
    assert len(routed) == len(set(routed)), "what had answered was left again"
    assert await record(serving) == [1, 2]
    assert await serving.state() == ("READY", "NOT_UPDATING")
    await until(lambda: serving.gateway.tables)
    assert not serving.gateway.tables[-1].held


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_switch_that_has_begun_asks_no_gate_again(
    serving: House, routed: list[str], monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    await serving.update("2")
    break_save(serving, monkeypatch, ENDS, fault)
    try:
        await serving.until(lambda: routed[-1:] == ["2"])
    except Killed:
        await restart(serving)
    serving.gateway.finds = lambda replay: Findings(replay.id, requests=9, errors=9, error="It raises.")
    serving.gateway.report()
    await serving.settle()
    assert (await record(serving), await serving.state()) == ([1, 2], ("READY", "NOT_UPDATING"))


@pytest.mark.parametrize("fault", [refused, killed_before])
async def test_a_rollback_that_comes_into_a_switch_that_fails_is_not_lost(
    serving: House, routed: list[str], monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    await serving.update("2")
    saved = break_save(serving, monkeypatch, ENDS, fault)
    killed = False
    try:
        await serving.until(lambda: len(saved) > ENDS)
    except Killed:
        killed = True
    await serving.endpoints.rollback("wine")
    if killed:
        await restart(serving)
    await serving.settle()
    assert routed == ["1", "2", "1"]
    assert await record(serving) == [1, 2, 1]


async def test_what_somebody_else_writes_meanwhile_stays_and_the_switch_ends_at_once(
    serving: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(save: Save) -> Save:
        async def saved(endpoint: Endpoint, switch: Switch | None) -> Endpoint:
            (stored,) = serving.store.all_endpoints
            await save(replace(stored, description="Reds."), None)
            return await save(endpoint, switch)

        return saved

    await serving.update("2")
    saved = break_save(serving, monkeypatch, ENDS, overtaken)
    await serving.settle()
    assert len(saved) == 3, "it begins, it ends in vain, it ends"
    assert (await serving.endpoints.get("wine")).endpoint.description == "Reds."
    assert await record(serving) == [1, 2]


async def test_a_successor_that_finds_a_switch_has_all_gateways_hold_it_again(
    serving: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await serving.update("2")
    break_save(serving, monkeypatch, ENDS, killed_before)
    assert await passes(serving)
    await asyncio.gather(*(other.close() for other in others(serving)))
    serving.others = []  # type: ignore[attr-defined]
    await serving.restart_control()
    ended = asyncio.create_task(serving.settle())
    await until(lambda: serving.gateway.tables)
    assert [serving.gateway.tables[-1].held, serving.serving] == [("wine",) * (serving.expected - 1), ["wine-2"]]
    if serving.expected == 2:
        assert not ended.done()
        second = Gateway(serving.data.planes_socket, 1)
        await second.connect()
        serving.others = [second]  # type: ignore[attr-defined]
    await ended
    gateways = (serving.gateway, *others(serving))
    await until(lambda: all(gateway.tables and not gateway.tables[-1].held for gateway in gateways))


async def test_what_is_routed_is_scaled_while_its_switch_cannot_end(
    serving: House, routed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await serving.update("2")
    save = serving.store.save_endpoint

    async def never_ends(endpoint: Endpoint, switch: Switch | None = None) -> Endpoint:
        return await (save if switch is None else refused(save))(endpoint, switch)

    monkeypatch.setattr(serving.store, "save_endpoint", never_ends)
    await serving.until(lambda: routed[-1:] == ["2"])
    (new,) = serving.serving_revisions()
    serving.gateway.revisions[new] = RevisionLoad(in_flight=1, queued=3, oldest_wait_seconds=0.4, requests=4)
    for _ in range(10):
        serving.clock.advance(0.5)
        for gateway in (serving.gateway, *others(serving)):
            gateway.report()
        await serving.passes(1)
    assert serving.engine.held[new].target.replicas > 1
    assert (await serving.state(), routed) == (("READY", "IN_PROGRESS"), ["1", "2"])
    assert "wine-1" in serving.running, "what served before is to be parked with its replicas"
