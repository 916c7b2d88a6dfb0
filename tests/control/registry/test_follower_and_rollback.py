"""Promotions and rollbacks in each other's way: what a rollback took away stays away until its pointer has moved."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.control.house import House, a_house, an_entity
from tidegate.control.endpoints.endpoint_requests import ConfigRequest
from tidegate.core.endpoint.endpoint import FOLLOWER, ROLLBACK, Route
from tidegate.core.endpoint.served_entity import ModelRef

CHAMPION = ModelRef("wine", "@champion")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An endpoint `wine` that follows `@champion`, which is version 1, and is ready."""
    async with a_house(tmp_path / "data", 600.0) as house:
        point(house, "1")
        await house.create("wine", an_entity("@champion"))
        await house.settle()
        yield house


def point(house: House, version: str) -> None:
    house.registry.models["wine"].aliases["champion"] = version


async def promote(house: House, version: str) -> None:
    """Move the pointer, and have the follower look."""
    point(house, version)
    await house.follower.run_once()


async def rolled_back(house: House) -> None:
    """A promotion to version 2 that served, and that was rolled back."""
    await promote(house, "2")
    await house.settle()
    assert await versions(house) == ("2", None, None, "1")
    await house.endpoints.rollback("wine")
    await house.settle()


async def look(house: House, restart: bool = False) -> None:
    """Look and pass for a while, in another control if so wished."""
    if restart:
        await house.restart_control()
    for _ in range(3):
        await house.follower.run_once()
        await house.settle()


async def versions(house: House) -> tuple[str | None, ...]:
    """What serves, is on its way, has failed and is parked."""
    endpoint = (await house.endpoints.get("wine")).endpoint
    held = (endpoint.pending, endpoint.failed, endpoint.previous)
    configs = (endpoint.active, *(one.config if one else None for one in held))
    return tuple(config.served_entities[0].resolved.version if config else None for config in configs)


async def record(house: House) -> list[tuple[str, str]]:
    """Who has switched, and to which version."""
    switches = (await house.endpoints.switches("wine")).switches
    return [(switch.by, switch.after.versions["wine-champion"].version) for switch in switches[1:]]


async def rejected(house: House) -> list[str]:
    pairs = (await house.endpoints.get("wine")).endpoint.rejected
    assert {ref for ref, _ in pairs} <= {CHAMPION}
    return [version.version for _, version in pairs]


@pytest.fixture
def routed(house: House, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The versions that were routed to since, one after the other."""
    tables: list[str] = []

    def watch() -> None:
        publish = house.gateways.publish

        def noted(table: object) -> None:
            publish(table)  # type: ignore[arg-type]
            tables.extend(house.serving_revisions())

        monkeypatch.setattr(house.gateways, "publish", noted)

    def seen() -> list[str]:
        known = house.control.world.snapshot.revisions
        changes = [rid for before, rid in zip(["", *tables], tables, strict=False) if rid != before]
        return [known[rid].entity.resolved.version for rid in changes]  # type: ignore[index]

    watch()
    return seen


def while_switched(house: House, monkeypatch: pytest.MonkeyPatch, act: Callable[[], Awaitable[object]]) -> None:
    """Do something once, when the gateways follow the next switch and it is not on record yet."""
    followed, acts = house.gateways.followed, [act]

    async def meanwhile(seconds: float) -> None:
        await followed(seconds)
        if acts:
            await acts.pop()()

    monkeypatch.setattr(house.gateways, "followed", meanwhile)


# --- one after the other


@pytest.mark.parametrize("restart", [False, True])
async def test_what_was_rolled_back_stays_away_until_the_pointer_moves(house: House, restart: bool) -> None:
    await rolled_back(house)
    await look(house, restart)
    assert await versions(house) == ("1", None, None, "2")
    assert await house.state() == ("READY", "NOT_UPDATING")
    assert await rejected(house) == ["2"]
    point(house, "3")
    await look(house, restart)
    assert await versions(house) == ("3", None, None, "1")
    assert await rejected(house) == []
    point(house, "2")
    await look(house, restart)
    assert await record(house) == [(FOLLOWER, "2"), (ROLLBACK, "1"), (FOLLOWER, "3"), (FOLLOWER, "2")]


async def test_the_way_back_and_the_same_promotion_again_are_followed(house: House) -> None:
    await rolled_back(house)
    point(house, "1")
    await look(house)
    assert await versions(house) == ("1", None, None, "2")
    point(house, "2")
    await look(house)
    assert await versions(house) == ("2", None, None, "1")


async def test_an_alias_that_is_taken_away_and_set_again_has_not_moved(house: House) -> None:
    await rolled_back(house)
    del house.registry.models["wine"].aliases["champion"]
    await look(house)
    point(house, "2")
    await look(house)
    assert await versions(house) == ("1", None, None, "2")


async def test_a_promotion_that_is_rolled_back_while_it_is_built_stays_away(house: House) -> None:
    house.builder.gate.clear()
    await promote(house, "2")
    await house.until(lambda: house.builder.running == 1)
    await house.endpoints.rollback("wine")
    house.builder.gate.set()
    await look(house)
    assert await versions(house) == ("1", None, None, None)
    point(house, "3")
    await look(house)
    assert await versions(house) == ("3", None, None, "1")


async def test_a_rollback_after_a_failed_promotion_does_not_have_it_tried_again(house: House) -> None:
    await promote(house, "2")
    await house.settle()
    house.engine.broken["wine-champion"] = "It does not load."
    await promote(house, "3")
    await house.settle()
    assert await versions(house) == ("2", None, "3", "1")
    house.engine.broken.clear()
    await house.endpoints.rollback("wine")
    await look(house)
    assert await versions(house) == ("1", None, None, "2")
    assert await rejected(house) == ["3"]  # what it means; version 2 is left since


async def test_a_second_rollback_returns_and_stays(house: House) -> None:
    await rolled_back(house)
    await house.endpoints.rollback("wine")
    await look(house)
    assert await versions(house) == ("2", None, None, "1")
    assert await rejected(house) == []
    point(house, "1")
    await look(house)
    assert await versions(house) == ("1", None, None, "2")


async def test_a_users_update_of_the_same_outweighs_a_rollback(house: House) -> None:
    await rolled_back(house)
    await house.update("@champion")
    await look(house)
    assert await versions(house) == ("2", None, None, "1")
    assert await rejected(house) == []


async def test_a_users_update_of_the_routes_alone_keeps_what_was_rolled_back_away(house: House) -> None:
    await rolled_back(house)
    await house.endpoints.update_config("wine", ConfigRequest(None, (Route("wine-champion", 100),)))
    await look(house)
    assert await versions(house) == ("1", None, None, "2")
    assert await rejected(house) == ["2"]


async def test_what_is_parked_is_not_followed(house: House) -> None:
    await house.update("3")
    await house.settle()
    assert await house.follower.run_once() is None


# --- in the middle of a switch


async def test_a_rollback_while_a_promotion_is_switched_to_is_not_lost(
    house: House, routed: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    while_switched(house, monkeypatch, lambda: house.endpoints.rollback("wine"))
    await promote(house, "2")
    await house.settle()
    assert routed() == ["1", "2", "1"]
    assert await versions(house) == ("1", None, None, "2")
    assert await record(house) == [(FOLLOWER, "2"), (ROLLBACK, "1")]
    await look(house)
    assert await versions(house) == ("1", None, None, "2")
    assert await house.state() == ("READY", "NOT_UPDATING")


async def test_a_pointer_that_moves_back_while_it_is_switched_to_is_followed_back(
    house: House, routed: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    while_switched(house, monkeypatch, lambda: promote(house, "1"))
    await promote(house, "2")
    await look(house)
    assert routed() == ["1", "2", "1"]
    assert await versions(house) == ("1", None, None, "2")


async def test_two_rollbacks_while_a_promotion_is_switched_to_lead_to_what_served_before(
    house: House, routed: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await promote(house, "2")
    await house.settle()

    async def twice() -> None:
        await house.endpoints.rollback("wine")
        await house.endpoints.rollback("wine")

    while_switched(house, monkeypatch, twice)
    await promote(house, "3")
    await look(house)
    assert routed() == ["1", "2", "3", "1"]
    assert await versions(house) == ("1", None, None, "3")


async def test_a_promotion_on_top_of_a_rollback_waits_for_it(house: House, routed: Callable[[], list[str]]) -> None:
    await promote(house, "2")
    await house.settle()
    await house.endpoints.rollback("wine")
    await promote(house, "3")
    assert await versions(house) == ("2", "1", None, "1")
    await look(house)
    assert routed() == ["1", "2", "1", "3"]
    assert await versions(house) == ("3", None, None, "1")


async def test_a_promotion_while_a_rollback_is_switched_to_waits_for_it(
    house: House, routed: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await promote(house, "2")
    await house.settle()
    while_switched(house, monkeypatch, lambda: promote(house, "3"))
    await house.endpoints.rollback("wine")
    await look(house)
    assert routed() == ["1", "2", "1", "3"]
    assert await record(house) == [(FOLLOWER, "2"), (ROLLBACK, "1"), (FOLLOWER, "3")]


async def test_what_is_deleted_while_it_is_switched_to_is_not_written_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    while_switched(house, monkeypatch, lambda: house.endpoints.delete("wine"))
    await promote(house, "2")
    await house.until(lambda: not house.control.world.snapshot.endpoints)
    assert house.engine.held == {}


# --- control dies


@pytest.mark.parametrize("then", ["2", "3"])
@pytest.mark.parametrize("step", ["asked", "switched"])
async def test_control_may_end_in_the_middle_of_a_rollback(house: House, step: str, then: str) -> None:
    await promote(house, "2")
    await house.settle()
    await house.endpoints.rollback("wine")
    if step == "switched":
        await house.passes(1)
    await house.restart_control()
    await promote(house, then)
    await look(house)
    assert await versions(house) == (("1", None, None, "2") if then == "2" else ("3", None, None, "1"))
