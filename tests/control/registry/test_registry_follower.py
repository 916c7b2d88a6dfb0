"""Endpoints that follow an alias or a stage, look by look: promotions, faults, and what is written meanwhile."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest

from tests.control.house import POLL, House, an_entity, until
from tidegate.control.endpoints.endpoint_requests import ConfigRequest
from tidegate.core.endpoint.endpoint import Endpoint, Route
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.served_entity import ModelVersion
from tidegate.core.errors import Conflict, Unavailable
from tidegate.core.rollout.following import Pointers

CHAMPION = "wine-champion"


@pytest.fixture
async def following(house: House) -> House:
    """An endpoint `wine` that follows `@champion`, which is version 1, and is ready."""
    point(house, "1")
    await house.create("wine", an_entity("@champion"))
    await house.settle()
    return house


def point(house: House, version: str | None, alias: str = "champion") -> None:
    """Set the alias, or take it away."""
    aliases = house.registry.models["wine"].aliases
    if version is None:
        del aliases[alias]
    else:
        aliases[alias] = version


async def promote(house: House, version: str | None) -> None:
    """Move the pointer, and have the follower look."""
    point(house, version)
    await house.follower.run_once()


async def endpoint_of(house: House) -> Endpoint:
    return (await house.endpoints.get("wine")).endpoint


async def versions(house: House) -> tuple[str | None, ...]:
    """What serves, is on its way and has failed."""
    endpoint = await endpoint_of(house)
    attempts = (endpoint.pending, endpoint.failed)
    configs = (endpoint.active, *(attempt.config if attempt else None for attempt in attempts))
    return tuple(config.served_entities[0].resolved.version if config else None for config in configs)


async def kinds(house: House, *of: str) -> list[str]:
    """The events that the follower writes, or those of these kinds."""
    told = of or ("promotion_seen", "update_started", "update_dropped", "pointer_lost", "pointer_found")
    return [event.kind for event in await house.endpoints.events("wine") if event.kind in told]


# --- promotions


async def test_a_promotion_is_served_under_the_same_name(following: House) -> None:
    assert await versions(following) == ("1", None, None)
    await promote(following, "2")
    assert await versions(following) == ("1", "2", None)
    await following.settle()
    assert await versions(following) == ("2", None, None)
    assert following.serving == following.running == [CHAMPION]
    events = [e for e in await following.endpoints.events("wine") if e.kind in ("promotion_seen", "update_started")]
    assert [event.message for event in events] == [
        "'@champion' of model 'wine' is now version 2; this endpoint had version 1.",
        "Configuration 2 (wine/2) is being prepared.",
    ]


async def test_a_stage_is_followed_to_its_newest_ready_version(house: House) -> None:
    versions_of_wine = house.registry.models["wine"].versions
    versions_of_wine["1"].stage = "Production"
    await house.create("wine", an_entity("Production"))
    await house.settle()
    versions_of_wine["2"].stage = versions_of_wine["3"].stage = "Production"
    versions_of_wine["3"].status = "PENDING_REGISTRATION"
    await house.follower.run_once()
    await house.settle()
    assert await versions(house) == ("2", None, None)
    versions_of_wine["3"].status = "READY"
    await house.follower.run_once()
    await house.settle()
    assert await versions(house) == ("3", None, None)
    versions_of_wine["3"].stage = "Archived"
    await house.follower.run_once()
    await house.settle()
    assert await versions(house) == ("2", None, None)


async def test_nothing_moves_nothing_is_written(following: House) -> None:
    before = (await endpoint_of(following)).resource_version
    assert await following.follower.run_once() == POLL
    assert (await endpoint_of(following)).resource_version == before
    assert await kinds(following) == []


async def test_of_two_promotions_in_a_row_the_last_wins(following: House) -> None:
    await promote(following, "2")
    await promote(following, "3")
    await following.settle()
    assert await versions(following) == ("3", None, None)
    assert await kinds(following) == ["promotion_seen", "update_started"] * 2


async def test_a_promotion_during_a_build_replaces_it(following: House) -> None:
    following.builder.gate.clear()
    await promote(following, "2")
    await following.until(lambda: following.builder.running == 1)
    await promote(following, "3")
    await following.until(lambda: following.builder.cancelled == 1 and following.builder.running == 1)
    following.builder.gate.set()
    await following.settle()
    assert await versions(following) == ("3", None, None)
    assert following.running == [CHAMPION]
    assert len(following.builder.built) == 2  # of versions 1 and 3


async def test_back_during_a_build_drops_it(following: House) -> None:
    (serving,) = following.engine.held
    following.builder.gate.clear()
    await promote(following, "2")
    await following.until(lambda: following.builder.running == 1)
    await promote(following, "1")
    assert await following.state() == ("READY", "NOT_UPDATING")
    await following.until(lambda: following.builder.cancelled == 1)
    following.builder.gate.set()
    await following.settle()
    assert await versions(following) == ("1", None, None)
    assert list(following.engine.held) == [serving]
    assert await kinds(following) == ["promotion_seen", "update_started", "promotion_seen", "update_dropped"]


async def test_a_candidate_that_fails_is_not_tried_again_until_the_pointer_moves(following: House) -> None:
    following.engine.broken[CHAMPION] = "It does not load."
    await promote(following, "2")
    await following.settle()
    assert await versions(following) == ("1", None, "2")
    for _ in range(3):
        assert await following.follower.run_once() == POLL
        await following.settle()
    assert await kinds(following, "update_started", "update_failed") == ["update_started", "update_failed"]
    following.engine.broken.clear()
    await promote(following, "3")
    await following.settle()
    assert await versions(following) == ("3", None, None)


async def test_a_candidate_that_failed_may_be_promoted_again_after_the_way_back(following: House) -> None:
    following.engine.broken[CHAMPION] = "It does not load."
    await promote(following, "2")
    await following.settle()
    await promote(following, "1")
    assert await following.state() == ("READY", "NOT_UPDATING")
    following.engine.broken.clear()
    await promote(following, "2")
    await following.settle()
    assert await versions(following) == ("2", None, None)


async def test_an_endpoint_that_never_came_up_gets_the_next_version(house: House) -> None:
    point(house, "1")
    house.engine.broken[CHAMPION] = "It does not load."
    await house.create("wine", an_entity("@champion"))
    await house.settle()
    house.engine.broken.clear()
    await promote(house, "2")
    await house.settle()
    assert await house.state() == ("READY", "NOT_UPDATING")
    assert await versions(house) == ("2", None, None)


async def test_two_endpoints_and_two_pointers_are_one_question(following: House) -> None:
    point(following, "2", "challenger")
    following.registry.add("tea", "1")
    following.registry.models["tea"].aliases["champion"] = "1"
    await following.create("both", an_entity("@challenger"), an_entity("@champion", model="tea"))
    await following.settle()
    following.registry.asked.clear()
    point(following, "3", "challenger")
    await promote(following, "2")
    assert following.registry.asked == [frozenset({"wine", "tea"})]
    await following.settle()
    active = (await following.endpoints.get("both")).endpoint.active
    assert active is not None
    assert [entity.resolved for entity in active.served_entities] == [
        ModelVersion("wine", "3", registered_at=3),
        ModelVersion("tea", "1", registered_at=4),
    ]
    assert await versions(following) == ("2", None, None)


async def test_nobody_is_asked_while_nothing_follows(house: House) -> None:
    await house.create()
    await house.settle()
    assert await house.follower.run_once() is None
    assert house.registry.asked == []


# --- pointers that are gone


async def test_a_pointer_that_is_gone_changes_nothing_and_is_told_once(following: House) -> None:
    await promote(following, None)
    for _ in range(3):
        await following.follower.run_once()
        await following.settle()
    assert await versions(following) == ("1", None, None)
    assert await following.state() == ("READY", "NOT_UPDATING")
    assert await kinds(following) == ["pointer_lost"]
    await following.restart_control()
    await following.follower.run_once()
    assert await kinds(following) == ["pointer_lost"]
    await promote(following, "1")
    await promote(following, None)
    assert await kinds(following) == ["pointer_lost", "pointer_found", "pointer_lost"]
    await promote(following, "2")
    await following.settle()
    assert await versions(following) == ("2", None, None)


async def test_a_pointer_that_is_gone_during_a_build_lets_it_go_on(following: House) -> None:
    following.builder.gate.clear()
    await promote(following, "2")
    await following.until(lambda: following.builder.running == 1)
    await promote(following, None)
    following.builder.gate.set()
    await following.settle()
    assert await versions(following) == ("2", None, None)


async def test_a_deleted_model_is_a_pointer_that_is_gone(following: House) -> None:
    del following.registry.models["wine"]
    await following.follower.run_once()
    await following.settle()
    assert following.serving == [CHAMPION]
    assert await kinds(following) == ["pointer_lost"]


# --- users


async def test_a_users_update_takes_the_place_of_what_a_promotion_put_on_its_way(following: House) -> None:
    following.builder.gate.clear()
    await promote(following, "2")
    await following.until(lambda: following.builder.running == 1)
    await following.update("3")
    await following.follower.run_once()
    following.builder.gate.set()
    await following.settle()
    assert await versions(following) == ("3", None, None)
    assert following.serving == ["wine-3"]
    assert await following.follower.run_once() is None


async def test_a_users_update_of_the_routes_keeps_following(following: House) -> None:
    await promote(following, "2")
    await following.endpoints.update_config("wine", ConfigRequest(None, (Route(CHAMPION, 100),)))
    await following.follower.run_once()
    await following.settle()
    assert await versions(following) == ("2", None, None)


async def test_a_users_update_that_a_pointer_moves_on_is_still_the_users(following: House) -> None:
    following.builder.gate.clear()
    point(following, "2")
    await following.endpoints.update_config("wine", ConfigRequest((an_entity("@champion", "other"),)))
    await promote(following, "3")
    with pytest.raises(Conflict, match="being updated"):
        await following.update("1")
    following.builder.gate.set()
    await following.settle()
    assert await versions(following) == ("3", None, None)
    assert following.serving == ["other"]


async def test_what_a_user_asks_for_while_the_registry_answers_is_not_undone(
    following: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is older than what the user was given: it must not take that back."""
    ask = following.registry.pointers

    async def slowly(names: frozenset[str], listed: frozenset[str]) -> Pointers:
        answer = await ask(names, listed)
        point(following, "2")
        await following.endpoints.update_config("wine", ConfigRequest((an_entity("@champion"),)))
        return answer

    monkeypatch.setattr(following.registry, "pointers", slowly)
    point(following, "3")
    pause = await following.follower.run_once()
    assert pause is not None
    assert pause < 1
    assert following.control.wakeups.follower.is_set()
    assert await versions(following) == ("1", "2", None)


async def test_a_deleted_endpoint_follows_nothing(following: House) -> None:
    following.engine.drains = True
    await following.endpoints.delete("wine")
    point(following, "2")
    assert await following.follower.run_once() is None


# --- faults


@contextlib.asynccontextmanager
async def looking(house: House) -> AsyncIterator[None]:
    """The follower's own loop and the reconciler's."""
    house.control.reconciling.start()
    house.control.following.start()
    try:
        yield
    finally:
        await house.control.following.stop()
        await house.control.reconciling.stop()


async def test_a_registry_that_is_away_is_waited_for_and_told_once(
    following: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tidegate.control.registry.registry_follower")
    point(following, "2")
    following.registry.failure = Unavailable("The registry cannot be reached.")
    pauses = [await following.follower.run_once() for _ in range(9)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "The registry cannot be reached." in caplog.text
    assert await following.state() == ("READY", "NOT_UPDATING")
    assert await kinds(following) == []
    following.registry.failure = None
    await following.follower.run_once()
    await following.settle()
    assert await versions(following) == ("2", None, None)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_one_endpoint_that_cannot_be_written_does_not_stop_the_others(
    following: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await following.create("a-first", an_entity("@champion"))
    await following.settle()
    follow = following.endpoints.follow

    async def refuse(endpoint: Endpoint, pointers: Pointers) -> Endpoint:
        if endpoint.name == "a-first":
            raise Unavailable("The disk is away.")
        return await follow(endpoint, pointers)

    monkeypatch.setattr(following.endpoints, "follow", refuse)
    await promote(following, "2")
    assert await versions(following) == ("1", "2", None)


_STATES = (RevisionState.PENDING, RevisionState.PREPARING, RevisionState.STARTING, RevisionState.READY)


@pytest.mark.parametrize("state", _STATES)
@pytest.mark.parametrize("then", ["2", "3", "1", None])
async def test_control_may_end_in_every_state_of_a_promotion(
    following: House, state: RevisionState, then: str | None
) -> None:
    """And the pointer moves on, back, away or not at all while it is not there."""
    await promote(following, "2")
    coming = ModelVersion("wine", "2", registered_at=2)

    def reached() -> bool:
        revisions = following.control.world.snapshot.revisions.values()
        return any(revision.state is state and revision.entity.resolved == coming for revision in revisions)

    await following.until(reached)
    await following.restart_control()
    await promote(following, then)
    await following.settle()
    assert await versions(following) == (then or "2", None, None)
    assert await following.state() == ("READY", "NOT_UPDATING")
    assert following.serving == [CHAMPION]
    await following.until(lambda: following.running == [CHAMPION])  # once the gateway has said that it is done


async def test_a_promotion_while_the_last_one_is_switched_never_routes_back(
    following: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gateways follow the new table already, and the endpoint is written before the switch is on record."""
    followed = following.gateways.followed

    async def meanwhile(seconds: float) -> None:
        await followed(seconds)
        if following.registry.models["wine"].aliases["champion"] == "2":
            await promote(following, "3")

    monkeypatch.setattr(following.gateways, "followed", meanwhile)
    await promote(following, "2")
    routes: list[str] = []
    publish = following.gateways.publish

    def noted(table: object) -> None:
        publish(table)  # type: ignore[arg-type]
        routes.append(following.serving_revisions()[0])

    monkeypatch.setattr(following.gateways, "publish", noted)
    await following.settle()
    assert await versions(following) == ("3", None, None)
    changes = [rid for before, rid in zip(["", *routes], routes, strict=False) if rid != before]
    assert len(changes) == len(set(changes)), "a route came back that had been left"


# --- the loop


async def test_a_write_to_the_registry_that_passed_by_is_looked_at_at_once(following: House) -> None:
    async with looking(following):
        await until(lambda: following.registry.asked)
        asked = len(following.registry.asked)
        following.gateway.report()  # nothing was written
        point(following, "2")
        await asyncio.sleep(0.05)
        assert len(following.registry.asked) == asked
        following.gateway.registry_writes = 1
        following.gateway.report()
        async with asyncio.timeout(5):
            while await versions(following) != ("2", None, None):  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.005)


async def test_writes_of_a_gateway_that_was_replaced_count_anew(following: House) -> None:
    following.gateway.registry_writes = 5
    following.gateway.report()
    await until(lambda: [r.registry_writes for r in following.gateways.reports] == [5])
    woken = following.control.wakeups.follower
    woken.clear()
    following.gateway._pid, following.gateway.registry_writes = 2, 0
    following.gateway.report()
    await until(lambda: [r.registry_writes for r in following.gateways.reports] == [0])
    assert not woken.is_set()
    following.gateway.registry_writes = 1
    following.gateway.report()
    await until(woken.is_set)


async def test_an_endpoint_that_is_created_is_followed_from_then_on(house: House) -> None:
    async with looking(house):
        await asyncio.sleep(0.01)
        assert house.registry.asked == []
        point(house, "1")
        await house.create("wine", an_entity("@champion"))
        await until(lambda: house.registry.asked)


async def test_the_loop_outlives_a_defect(following: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def defect(_: object) -> Pointers:
        raise RuntimeError("a defect")

    ask = following.registry.pointers
    monkeypatch.setattr(following.registry, "pointers", defect)
    async with looking(following):
        await asyncio.sleep(0.01)
        monkeypatch.setattr(following.registry, "pointers", ask)
        following.registry.asked.clear()
        following.control.wakeups.ask_registry()
        await until(lambda: following.registry.asked)
