"""Enabled models, look by look: endpoints that come, change and go with versions and stages; faults in between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

import pytest

from tests.control.house import POLL, House, an_entity
from tests.control.reconcile.test_gate import errors, fine
from tidegate.control.endpoints.endpoint_requests import ConfigRequest
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.errors import Conflict, InvalidParameter, NotFound, Unavailable
from tidegate.core.legacy_products.enabled_endpoints import GRACE_SECONDS
from tidegate.core.legacy_products.enablement import Enablement, stands_for, version_of
from tidegate.core.legacy_products.enablement_status import ServingState, VersionStatus
from tidegate.core.rollout.following import Pointers

SERVERLESS, CLASSIC = Face(Product.SERVERLESS, "wine"), Face(Product.CLASSIC, "wine")


def move(house: House, version: str, stage: str) -> None:
    """Move a version of the model to a stage."""
    house.registry.models["wine"].versions[version].stage = stage


async def endpoints(house: House, face: Face = SERVERLESS) -> dict[str, Endpoint]:
    """The endpoints of an enabled model: stage or version → it."""
    views = await house.endpoints.list()
    return {stands_for(view.endpoint): view.endpoint for view in views if view.endpoint.face == face}


async def serving(house: House, face: Face = SERVERLESS) -> dict[str, str | None]:
    """Stage or version → the version that its endpoint serves."""
    found = await endpoints(house, face)
    return {key: version_of(one.active) if one.active else None for key, one in found.items()}


async def rest(house: House) -> None:
    """Look and settle until nothing changes, and what nothing asks for has ended."""
    for _ in range(10):
        pause = await house.follower.run_once()
        await house.settle()
        if pause in (POLL, None):
            return
        house.clock.advance(pause)
    raise AssertionError("it does not come to rest")


async def states(house: House, face: Face = SERVERLESS) -> dict[str, ServingState]:
    return {version.version: version.state for version in (await house.enablements.get(face)).versions}


async def version(house: House, number: str, face: Face = SERVERLESS) -> VersionStatus:
    return await house.enablements.version(face, number)


@pytest.fixture
async def enabled(house: House) -> House:
    """Version 1 in Production and 2 in Staging, enabled and ready."""
    move(house, "1", "Production")
    move(house, "2", "Staging")
    await house.enablements.enable(SERVERLESS, "admin")
    await rest(house)
    return house


# --- on and off


async def test_one_call_brings_endpoints_for_the_staged_versions(enabled: House) -> None:
    assert await serving(enabled) == {"Production": "1", "Staging": "2"}
    assert await states(enabled) == {"1": ServingState.READY, "2": ServingState.READY}
    assert (await enabled.enablements.get(SERVERLESS)).state == (ServingState.READY, "")
    names = [view.endpoint.name for view in await enabled.endpoints.list()]
    assert names == ["serverless-wine-production", "serverless-wine-staging"]


async def test_it_has_its_endpoints_at_once(house: House) -> None:
    move(house, "1", "Production")
    move(house, "2", "Staging")
    await house.enablements.enable(SERVERLESS, "admin")
    assert await serving(house) == {"Production": None, "Staging": None}
    assert await states(house) == {"1": ServingState.PENDING, "2": ServingState.PENDING}


async def test_a_look_at_the_same_time_makes_no_second_one(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    read = house.store.endpoints

    async def slowly() -> tuple[Endpoint, ...]:
        found = await read()
        await asyncio.sleep(0.01)
        return found

    monkeypatch.setattr(house.store, "endpoints", slowly)
    move(house, "1", "Production")
    await house.store.save_enablement(Enablement(Product.SERVERLESS, "wine", "admin", 1.0))
    pointers = await house.registry.pointers(["wine"], ["wine"])
    both = house.control.alignment.begin(SERVERLESS, pointers), house.control.alignment.align(["wine"], pointers)
    names, _ = await asyncio.gather(*both)
    assert names == {"serverless-wine-production"}
    assert [view.endpoint.name for view in await house.endpoints.list()] == ["serverless-wine-production"]


async def test_where_an_endpoint_cannot_be_made_yet_it_is_enabled_all_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> tuple[Endpoint, ...]:
        raise Unavailable("The disk is full.")

    move(house, "1", "Production")
    monkeypatch.setattr(house.store, "endpoints", away)
    await house.enablements.enable(SERVERLESS, "admin")
    monkeypatch.undo()
    await rest(house)
    assert await serving(house) == {"Production": "1"}


async def test_classic_serves_every_version_that_is_not_archived_and_new_ones_by_themselves(house: House) -> None:
    move(house, "1", "Archived")
    move(house, "2", "Production")
    await house.enablements.enable(CLASSIC, "admin")
    await rest(house)
    assert await serving(house, CLASSIC) == {"Production": "2", "3": "3"}
    house.registry.add("wine", "4")
    await rest(house)
    assert await serving(house, CLASSIC) == {"Production": "2", "3": "3", "4": "4"}
    assert house.running == ["wine-3", "wine-4", "wine-Production"]


async def test_both_products_may_serve_the_same_model(enabled: House) -> None:
    await enabled.enablements.enable(CLASSIC, "admin")
    await rest(enabled)
    assert await serving(enabled) == {"Production": "1", "Staging": "2"}
    assert await serving(enabled, CLASSIC) == {"Production": "1", "Staging": "2", "3": "3"}
    await enabled.enablements.disable(SERVERLESS)
    assert await serving(enabled) == {}
    assert len(await serving(enabled, CLASSIC)) == 3


async def test_enabling_twice_changes_nothing(enabled: House) -> None:
    before = await enabled.store.enablements()
    enabled.registry.failure = Unavailable("The registry is away.")
    await enabled.enablements.enable(SERVERLESS, "somebody else")
    assert await enabled.store.enablements() == before


async def test_what_the_registry_does_not_have_cannot_be_enabled(house: House) -> None:
    with pytest.raises(NotFound, match="no model 'tea'"):
        await house.enablements.enable(Face(Product.SERVERLESS, "tea"), "admin")
    house.registry.failure = Unavailable("The registry is away.")
    with pytest.raises(Unavailable):
        await house.enablements.enable(SERVERLESS, "admin")
    assert await house.store.enablements() == ()


async def test_disabling_ends_all_of_it_also_while_the_registry_is_away(enabled: House) -> None:
    enabled.registry.failure = Unavailable("The registry is away.")
    await enabled.enablements.disable(SERVERLESS)
    await enabled.settle()
    assert (await endpoints(enabled), enabled.running, enabled.serving) == ({}, [], [])
    with pytest.raises(NotFound, match="not enabled for model 'wine'"):
        await enabled.enablements.get(SERVERLESS)


async def test_what_is_disabled_while_the_registry_answers_comes_back_no_more(
    enabled: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = enabled.registry.pointers

    async def slowly(names: Collection[str], listed: Collection[str]) -> Pointers:
        answer = await ask(names, listed)
        await enabled.enablements.disable(SERVERLESS)
        return answer

    monkeypatch.setattr(enabled.registry, "pointers", slowly)
    move(enabled, "3", "Production")
    await enabled.follower.run_once()
    monkeypatch.undo()
    await rest(enabled)
    assert (await endpoints(enabled), enabled.running) == ({}, [])


async def test_endpoints_that_were_left_over_are_ended_also_while_the_registry_is_away(enabled: House) -> None:
    """Control was killed between the two steps of disabling."""
    await enabled.store.drop_enablement(Product.SERVERLESS, "wine")
    enabled.registry.failure = Unavailable("The registry is away.")
    await enabled.follower.run_once()
    await enabled.settle()
    assert (await endpoints(enabled), enabled.running) == ({}, [])


async def test_who_is_not_enabled_is_told_as_the_product_did(house: House) -> None:
    for face, error in ((SERVERLESS, NotFound), (CLASSIC, InvalidParameter)):
        for call in (house.enablements.get(face), house.enablements.disable(face), house.enablements.history(face)):
            with pytest.raises(error, match="is not enabled for model"):
                await call


async def test_all_are_listed_with_one_look_at_the_endpoints(enabled: House, monkeypatch: pytest.MonkeyPatch) -> None:
    enabled.registry.add("tea", "1").stage = "Production"
    await enabled.enablements.enable(Face(Product.SERVERLESS, "tea"), "admin")
    await enabled.enablements.enable(CLASSIC, "admin")
    await enabled.create("other")
    await rest(enabled)
    read, reads = enabled.store.endpoints, 0

    async def counted() -> tuple[Endpoint, ...]:
        nonlocal reads
        reads += 1
        return await read()

    monkeypatch.setattr(enabled.store, "endpoints", counted)
    views = await enabled.enablements.list(Product.SERVERLESS)
    found = [(view.enablement.model, [one.version for one in view.versions], view.state[0]) for view in views]
    assert (found, reads) == ([("tea", ["1"], ServingState.READY), ("wine", ["1", "2"], ServingState.READY)], 1)


async def test_while_nothing_is_enabled_nobody_is_asked(enabled: House) -> None:
    await enabled.enablements.disable(SERVERLESS)
    enabled.registry.asked.clear()
    assert await enabled.follower.run_once() is None
    assert enabled.registry.asked == []


async def test_all_models_are_asked_for_at_once(enabled: House) -> None:
    enabled.registry.add("tea", "1").stage = "Production"
    await enabled.enablements.enable(Face(Product.CLASSIC, "tea"), "admin")
    await enabled.create("other", an_entity("Production"))
    await rest(enabled)
    enabled.registry.asked.clear()
    assert await enabled.follower.run_once() == POLL
    assert enabled.registry.asked == [frozenset({"wine", "tea"})]


# --- versions and stages move


async def test_a_stage_move_is_a_promotion_of_the_same_endpoint(enabled: House) -> None:
    before = (await endpoints(enabled))["Production"].id
    move(enabled, "1", "Archived")
    move(enabled, "3", "Production")
    await rest(enabled)
    assert await serving(enabled) == {"Production": "3", "Staging": "2"}
    assert (await endpoints(enabled))["Production"].id == before
    assert await states(enabled) == {"2": ServingState.READY, "3": ServingState.READY}


async def test_a_version_that_is_left_and_still_wanted_is_never_without_an_answer(enabled: House) -> None:
    """It has its own endpoint, without a replica, before the promotion is on its way."""
    move(enabled, "3", "Production")
    await enabled.follower.run_once()
    assert (await endpoints(enabled))["Production"].pending is None
    assert set(await serving(enabled)) == {"Production", "Staging", "1"}
    running = enabled.running
    while (await endpoints(enabled))["Production"].pending is None:
        await enabled.passes(1)
        await enabled.follower.run_once()
    assert (await serving(enabled))["1"] == "1"
    assert enabled.running in (running, sorted([*running, "wine-1"]))
    await rest(enabled)
    assert await serving(enabled) == {"Production": "3", "Staging": "2", "1": "1"}


async def test_a_stage_that_empties_ends_and_comes_back(enabled: House) -> None:
    move(enabled, "2", "Archived")
    await rest(enabled)
    assert await serving(enabled) == {"Production": "1"}
    assert enabled.running == ["wine-Production"]
    move(enabled, "2", "Staging")
    await rest(enabled)
    assert await serving(enabled) == {"Production": "1", "Staging": "2"}
    assert [one for one in await enabled.kinds("serverless-wine-staging") if one.startswith("pointer")] == []


async def test_who_archives_the_old_version_first_and_promotes_the_new_one_then_loses_nothing(enabled: House) -> None:
    """A look between the two calls: the stage goes on with its endpoint, and the new version through the gate."""
    before = (await endpoints(enabled))["Production"]
    await enabled.endpoints.patch_tags(before.name, {"team": "cellar"}, ())
    move(enabled, "1", "Archived")
    assert await enabled.follower.run_once() == GRACE_SECONDS
    assert await serving(enabled) == {"Production": "1", "Staging": "2"}
    enabled.clock.advance(GRACE_SECONDS - 1)
    move(enabled, "3", "Production")
    await enabled.follower.run_once()
    production = (await endpoints(enabled))["Production"]
    assert production.pending is not None
    assert (production.id, version_of(production.pending.config)) == (before.id, "3")
    assert not production.pending.forced
    await rest(enabled)
    production = (await endpoints(enabled))["Production"]
    assert await serving(enabled) == {"Production": "3", "Staging": "2"}
    assert (production.id, production.tags) == (before.id, (("team", "cellar"),))
    assert production.previous is not None
    assert version_of(production.previous.config) == "1"
    switches = (await enabled.endpoints.switches(before.name)).switches
    assert [switch.before is None for switch in switches] == [True, False]
    assert [one for one in await enabled.kinds(before.name) if one.startswith("pointer")] == []


async def test_a_stage_that_stays_empty_ends_when_its_time_is_over_also_after_a_restart(enabled: House) -> None:
    move(enabled, "2", "Archived")
    await enabled.follower.run_once()
    enabled.clock.advance(GRACE_SECONDS - 1)
    await enabled.restart_control()
    await enabled.follower.run_once()  # which knows of no time before it
    enabled.clock.advance(GRACE_SECONDS - 1)
    assert await enabled.follower.run_once() == pytest.approx(1.0)
    assert await serving(enabled) == {"Production": "1", "Staging": "2"}
    enabled.clock.advance(1)
    await rest(enabled)
    assert await serving(enabled) == {"Production": "1"}


async def test_a_version_goes_from_staging_to_production_and_answers_all_the_way(enabled: House) -> None:
    move(enabled, "1", "Archived")
    move(enabled, "2", "Production")
    seen: set[str] = set()
    for _ in range(40):
        await enabled.follower.run_once()
        await enabled.passes(1)
        answered = {value for value in (await serving(enabled)).values() if value}
        assert "2" in answered
        seen |= set(await endpoints(enabled))
    assert seen == {"Production", "Staging", "2"}
    await rest(enabled)
    assert await serving(enabled) == {"Production": "2"}


async def test_a_model_that_is_deleted_ends_and_stays_enabled(enabled: House) -> None:
    kept = enabled.registry.models.pop("wine")
    await enabled.follower.run_once()
    assert await serving(enabled) == {"Production": "1", "Staging": "2"}
    await rest(enabled)
    assert await serving(enabled) == {}
    assert (await enabled.enablements.get(SERVERLESS)).state[0] is ServingState.PENDING
    enabled.registry.models["wine"] = kept
    await rest(enabled)
    assert await serving(enabled) == {"Production": "1", "Staging": "2"}


async def test_a_version_that_is_still_being_registered_is_waited_for(enabled: House) -> None:
    move(enabled, "3", "Production")
    enabled.registry.models["wine"].versions["3"].status = "PENDING_REGISTRATION"
    await rest(enabled)
    assert await serving(enabled) == {"Production": "1", "Staging": "2"}
    enabled.registry.models["wine"].versions["3"].status = "READY"
    await rest(enabled)
    assert await serving(enabled) == {"Production": "3", "Staging": "2", "1": "1"}


async def test_a_broken_version_fails_by_itself(house: House) -> None:
    house.engine.broken["wine-2"] = "It does not load."
    await house.enablements.enable(CLASSIC, "admin")
    await rest(house)
    assert await serving(house, CLASSIC) == {"1": "1", "2": None, "3": "3"}
    found = await states(house, CLASSIC)
    assert found == {"1": ServingState.READY, "2": ServingState.FAILED, "3": ServingState.READY}
    view = await house.enablements.get(CLASSIC)
    assert view.state == (ServingState.READY, "Version 2: It does not load.")
    house.engine.broken.clear()
    await house.enablements.restart(CLASSIC, "2", "admin")
    assert (await version(house, "2", CLASSIC)).state is ServingState.RETRY_REQUESTED
    await rest(house)
    assert (await states(house, CLASSIC))["2"] is ServingState.READY


async def test_where_everything_is_broken_the_model_has_failed(house: House) -> None:
    move(house, "1", "Production")
    house.engine.broken["wine-Production"] = "It does not load."
    await house.enablements.enable(SERVERLESS, "admin")
    assert (await house.enablements.get(SERVERLESS)).state[0] is ServingState.PENDING
    await rest(house)
    assert (await house.enablements.get(SERVERLESS)).state == (ServingState.FAILED, "Version 1: It does not load.")
    assert await serving(house) == {"Production": None}


async def test_a_promotion_that_fails_leaves_what_serves_and_the_version_fails_by_itself(enabled: House) -> None:
    enabled.engine.broken |= {"wine-Production": "It does not load.", "wine-3": "It does not load."}
    move(enabled, "1", "Archived")
    move(enabled, "3", "Production")
    await enabled.follower.run_once()
    await rest(enabled)
    assert (await serving(enabled))["Production"] == "1"
    assert (await states(enabled))["3"] is ServingState.FAILED


# --- what a stage uses


async def entity(house: House, key: str = "Production") -> tuple[str, bool]:
    active = (await endpoints(house))[key].active
    assert active is not None
    return active.served_entities[0].workload_size, active.served_entities[0].scale_to_zero_enabled


async def test_a_stage_uses_what_it_is_told_without_the_registry(enabled: House) -> None:
    enabled.registry.failure = Unavailable("The registry is away.")
    await enabled.enablements.update_compute(SERVERLESS, "production", "Medium", scale_to_zero=True)
    update = (await version(enabled, "1")).update
    assert update is not None
    assert (update.state, update.compute.workload_size_id) == (ServingState.PENDING, "Medium")
    await enabled.settle()
    assert await entity(enabled) == ("Medium", True)
    found = await version(enabled, "1")
    assert (found.state, found.update, found.compute.version) == (ServingState.READY, None, 1)
    assert await entity(enabled, "Staging") == ("Small", False)


async def test_what_is_left_out_stays(enabled: House) -> None:
    await enabled.enablements.update_compute(SERVERLESS, "Production", "Large", scale_to_zero=None)
    await rest(enabled)
    await enabled.enablements.update_compute(SERVERLESS, "Production", None, scale_to_zero=True)
    await rest(enabled)
    assert await entity(enabled) == ("Large", True)


async def test_a_stage_that_is_empty_remembers_it(enabled: House) -> None:
    move(enabled, "2", "Archived")
    await rest(enabled)
    await enabled.enablements.update_compute(SERVERLESS, "Staging", "Large", scale_to_zero=False)
    await rest(enabled)
    move(enabled, "2", "Staging")
    await rest(enabled)
    assert await entity(enabled, "Staging") == ("Large", False)
    assert (await version(enabled, "2")).update is None


async def test_one_that_fails_keeps_what_there_was_and_can_be_tried_again(enabled: House) -> None:
    enabled.engine.broken["wine-Production"] = "There is no room."
    await enabled.enablements.update_compute(SERVERLESS, "Production", "Large", scale_to_zero=False)
    await rest(enabled)
    found = await version(enabled, "1")
    assert (found.state, found.compute.workload_size_id) == (ServingState.READY, "Small")
    assert found.update is not None
    assert (found.update.state, found.update.message) == (ServingState.FAILED, "There is no room.")
    await rest(enabled)  # nobody tries by himself
    assert await entity(enabled) == ("Small", False)
    enabled.engine.broken.clear()
    await enabled.enablements.restart(SERVERLESS, "1", "admin")
    await rest(enabled)
    assert await entity(enabled) == ("Large", False)


@pytest.fixture
async def failed(enabled: House) -> House:
    """Production was to use Large, which failed; and then version 3 was promoted."""
    enabled.engine.broken["wine-Production"] = "There is no room."
    await enabled.enablements.update_compute(SERVERLESS, "Production", "Large", scale_to_zero=False)
    await rest(enabled)
    enabled.engine.broken.clear()
    move(enabled, "1", "Archived")
    move(enabled, "3", "Production")
    return enabled


async def sizes(house: House) -> list[str]:
    """What the stages are said to use."""
    return [compute.workload_size_id for compute in (await house.enablements.get(SERVERLESS)).computes]


async def test_one_that_failed_is_tried_again_with_the_next_version(failed: House) -> None:
    assert await sizes(failed) == ["Small", "Small"]
    await rest(failed)
    assert (await serving(failed), await entity(failed)) == (SERVED, ("Large", False))
    assert (await sizes(failed), (await version(failed, "3")).update) == (["Large", "Small"], None)
    await failed.endpoints.rollback("serverless-wine-production")
    await rest(failed)
    assert (await serving(failed), await entity(failed)) == (SERVED, ("Small", False))  # and stays so
    assert await sizes(failed) == ["Small", "Small"]


async def test_once_only_for_each(failed: House) -> None:
    while (await serving(failed))["Production"] != "3":
        await failed.follower.run_once()
        await failed.settle()
    failed.engine.broken["wine-Production"] = "There is no room."
    await rest(failed)
    assert (await serving(failed), await entity(failed)) == (SERVED, ("Small", False))
    update = (await version(failed, "3")).update
    assert update is not None
    assert (update.state, update.compute.workload_size_id) == (ServingState.FAILED, "Large")
    kinds = await failed.kinds("serverless-wine-production")
    await rest(failed)
    assert await failed.kinds("serverless-wine-production") == kinds
    assert kinds.count("update_failed") == 2


async def test_a_wish_for_what_there_was_takes_a_failed_one_back(enabled: House) -> None:
    enabled.engine.broken["wine-Production"] = "There is no room."
    await enabled.enablements.update_compute(SERVERLESS, "Production", "Large", scale_to_zero=False)
    await rest(enabled)
    await enabled.enablements.update_compute(SERVERLESS, "Production", "Small", scale_to_zero=False)
    await rest(enabled)
    found = await version(enabled, "1")
    assert (found.state, found.update) == (ServingState.READY, None)


async def test_what_is_asked_last_wins(enabled: House) -> None:
    enabled.builder.gate.clear()
    for size in ("Medium", "Large"):
        await enabled.enablements.update_compute(SERVERLESS, "Production", size, scale_to_zero=False)
        await enabled.passes(2)
    enabled.builder.gate.set()
    await rest(enabled)
    assert await entity(enabled) == ("Large", False)


async def test_a_wish_during_a_promotion_waits_for_its_end(enabled: House) -> None:
    enabled.builder.gate.clear()
    move(enabled, "1", "Archived")
    move(enabled, "3", "Production")
    await enabled.follower.run_once()
    await enabled.enablements.update_compute(SERVERLESS, "Production", "Large", scale_to_zero=False)
    pending = (await endpoints(enabled))["Production"].pending
    assert pending is not None
    assert pending.config.served_entities[0].workload_size == "Small"
    enabled.builder.gate.set()
    await rest(enabled)
    assert (await serving(enabled))["Production"] == "3"
    assert await entity(enabled) == ("Large", False)


async def test_a_wish_after_a_promotion_that_failed_does_not_try_that_again(enabled: House) -> None:
    enabled.engine.broken |= {"wine-Production": "It does not load.", "wine-3": "It does not load."}
    move(enabled, "3", "Production")
    await rest(enabled)
    assert (await serving(enabled))["Production"] == "1"
    enabled.engine.broken.pop("wine-Production")
    await enabled.enablements.update_compute(SERVERLESS, "Production", "Large", scale_to_zero=False)
    await rest(enabled)
    assert (await serving(enabled))["Production"] == "1"
    assert await entity(enabled) == ("Large", False)


@pytest.fixture
async def held_back(enabled: House) -> House:
    """Version 3 promoted to Production, and held back; then Production was told what to use."""
    move(enabled, "1", "Archived")
    move(enabled, "3", "Production")
    enabled.gateway.finds = errors
    await rest(enabled)
    assert "Version 3: The gate holds it back" in (await enabled.enablements.get(SERVERLESS)).state[1]
    enabled.gateway.finds = fine
    await enabled.enablements.update_compute(SERVERLESS, "Production", "Medium", scale_to_zero=False)
    await rest(enabled)
    assert (await serving(enabled), await entity(enabled)) == (KEPT, ("Medium", False))
    return enabled


KEPT = {"Production": "1", "Staging": "2", "3": "3"}
KEPT_OUT = (
    "Production is still version 1: version 3 failed before, or was rolled back. "
    "restart-compute-config-update tries it again."
)


async def test_what_was_held_back_is_told_still_after_a_change_of_what_the_stage_uses(held_back: House) -> None:
    assert (await held_back.enablements.get(SERVERLESS)).state == (ServingState.READY, KEPT_OUT)


@pytest.mark.parametrize("asked", ["3", "Production"])
async def test_it_can_be_tried_again_through_the_gate_with_what_the_stage_uses(held_back: House, asked: str) -> None:
    held_back.gateway.finds = errors
    await held_back.enablements.restart(SERVERLESS, asked, "admin")
    await rest(held_back)
    assert await serving(held_back) == KEPT
    assert "Version 3: The gate holds it back" in (await held_back.enablements.get(SERVERLESS)).state[1]
    held_back.gateway.finds = fine
    await held_back.enablements.restart(SERVERLESS, asked, "admin")
    await rest(held_back)
    assert (await serving(held_back), await entity(held_back)) == (SERVED, ("Medium", False))
    assert (await held_back.enablements.get(SERVERLESS)).state == (ServingState.READY, "")


SERVED = {"Production": "3", "Staging": "2"}


async def test_it_can_be_forced(held_back: House) -> None:
    held_back.gateway.finds = errors
    await held_back.endpoints.force("serverless-wine-production", "admin")
    await rest(held_back)
    assert (await serving(held_back), await entity(held_back)) == (SERVED, ("Medium", False))


async def test_it_is_forgotten_when_the_stage_means_another_version(held_back: House) -> None:
    move(held_back, "3", "Archived")
    move(held_back, "2", "Production")
    await rest(held_back)
    assert (await serving(held_back), (await held_back.enablements.get(SERVERLESS)).state[1]) == (
        {"Production": "2"},
        "",
    )
    with pytest.raises(Conflict, match="Nothing has failed"):
        await held_back.enablements.restart(SERVERLESS, "Production", "admin")
    with pytest.raises(Conflict, match="The gate holds back nothing"):
        await held_back.endpoints.force("serverless-wine-production", "admin")


async def test_a_version_that_failed_with_a_new_size_can_be_tried_again_with_the_old_one(enabled: House) -> None:
    move(enabled, "1", "Archived")
    await enabled.enablements.update_compute(SERVERLESS, "Production", "Large", scale_to_zero=False)
    move(enabled, "3", "Production")
    enabled.engine.broken["wine-Production"] = "There is no room."
    await enabled.follower.run_once()
    await enabled.settle()
    failed = (await endpoints(enabled))["Production"].failed
    assert failed is not None
    assert (version_of(failed.config), failed.config.served_entities[0].workload_size) == ("3", "Large")
    enabled.engine.broken.clear()
    await enabled.enablements.update_compute(SERVERLESS, "Production", "Small", scale_to_zero=False)
    await rest(enabled)
    assert (await serving(enabled), (await enabled.enablements.get(SERVERLESS)).state[1]) == (KEPT, KEPT_OUT)
    await enabled.enablements.restart(SERVERLESS, "3", "admin")
    await rest(enabled)
    assert (await serving(enabled), await entity(enabled)) == (SERVED, ("Small", False))


async def test_what_a_rollback_took_away_is_told_and_can_be_tried_again(enabled: House) -> None:
    move(enabled, "1", "Archived")
    move(enabled, "3", "Production")
    await rest(enabled)
    await enabled.endpoints.rollback("serverless-wine-production")
    await rest(enabled)
    assert (await serving(enabled), (await enabled.enablements.get(SERVERLESS)).state[1]) == (KEPT, KEPT_OUT)
    await enabled.endpoints.force("serverless-wine-production", "admin")
    await rest(enabled)
    assert await serving(enabled) == SERVED


async def test_a_rollback_of_it_stays(enabled: House) -> None:
    await enabled.enablements.update_compute(SERVERLESS, "Production", "Large", scale_to_zero=False)
    await rest(enabled)
    await enabled.endpoints.rollback("serverless-wine-production")
    await rest(enabled)
    assert await entity(enabled) == ("Small", False)


async def test_a_rollback_of_a_promotion_stays_and_the_version_answers_by_itself(enabled: House) -> None:
    move(enabled, "3", "Production")
    await rest(enabled)
    await enabled.endpoints.rollback("serverless-wine-production")
    await rest(enabled)
    assert await serving(enabled) == {"Production": "1", "Staging": "2", "3": "3"}


@pytest.mark.parametrize(("stage", "size"), [("Archived", "Small"), ("Production", "Huge")])
async def test_what_cannot_be_is_refused(enabled: House, stage: str, size: str) -> None:
    with pytest.raises(InvalidParameter, match="must be"):
        await enabled.enablements.update_compute(SERVERLESS, stage, size, scale_to_zero=None)


async def test_where_nothing_has_failed_nothing_is_tried_again(enabled: House) -> None:
    with pytest.raises(Conflict, match="Nothing has failed of version 1"):
        await enabled.enablements.restart(SERVERLESS, "Production", "admin")
    with pytest.raises(NotFound, match=r"Version '9' .*served are 1, 2"):
        await enabled.enablements.restart(SERVERLESS, "9", "admin")


# --- whose the endpoints are


async def test_its_endpoints_are_changed_by_the_product_only(enabled: House) -> None:
    name = "serverless-wine-production"
    with pytest.raises(Conflict, match="disable the serving of that model"):
        await enabled.endpoints.delete(name)
    with pytest.raises(Conflict, match="update-compute-config"):
        await enabled.endpoints.update_config(name, ConfigRequest((an_entity("2"),)), "admin")
    assert await serving(enabled) == {"Production": "1", "Staging": "2"}
    assert await enabled.endpoints.patch_tags(name, {"team": "cellar"}, ()) == (("team", "cellar"),)


async def test_a_users_endpoint_of_that_name_is_left_alone(house: House) -> None:
    await house.create("serverless-wine-production")
    move(house, "1", "Production")
    await house.enablements.enable(SERVERLESS, "admin")
    await rest(house)
    assert await serving(house) == {"Production": "1"}
    assert (await endpoints(house))["Production"].name != "serverless-wine-production"
    assert (await house.endpoints.get("serverless-wine-production")).endpoint.face is None


# --- faults


async def test_a_registry_that_is_away_changes_nothing(enabled: House) -> None:
    before = await endpoints(enabled)
    enabled.registry.failure = Unavailable("The registry is away.")
    pauses = [await enabled.follower.run_once() for _ in range(7)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert await endpoints(enabled) == before
    enabled.registry.failure = None
    assert await enabled.follower.run_once() == POLL


async def test_one_model_that_cannot_be_aligned_does_not_stop_another(
    enabled: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled.registry.add("apple", "1").stage = "Production"
    await enabled.enablements.enable(Face(Product.SERVERLESS, "apple"), "admin")
    move(enabled, "3", "Staging")
    create = enabled.endpoints.create

    async def refuse(request: object) -> object:
        if "apple" in str(request):
            raise Unavailable("The disk is full.")
        return await create(request)  # type: ignore[arg-type]

    monkeypatch.setattr(enabled.endpoints, "create", refuse)
    for _ in range(5):
        assert await enabled.follower.run_once() is not None
        await enabled.settle()
    assert (await serving(enabled))["Staging"] == "3"
    monkeypatch.undo()
    await rest(enabled)
    assert await serving(enabled, Face(Product.SERVERLESS, "apple")) == {"Production": "1"}


class Killed(BaseException):
    """What ends a control in the middle."""


async def test_a_control_that_is_killed_at_any_write_ends_in_what_was_asked(house: House) -> None:
    """Enable, promote with both versions wanted, empty a stage, disable: killed at each write in turn."""
    writes = ("create_endpoint", "save_endpoint", "save_enablement", "drop_enablement")
    real = {name: getattr(house.store, name) for name in writes}
    left = 0

    def deadly(name: str) -> object:
        async def write(*args: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return await real[name](*args)

        return write

    for name in writes:
        setattr(house.store, name, deadly(name))
    for kill_at in range(1, 12):
        left = 0
        for number, stage in (("1", "Production"), ("2", "Staging"), ("3", "None")):
            move(house, number, stage)
        left = kill_at
        for act, expected in (
            (lambda: house.enablements.enable(SERVERLESS, "admin"), {"Production": "1", "Staging": "2"}),
            (lambda: house.enablements.update_compute(SERVERLESS, "Production", "Large", scale_to_zero=True), None),
            (lambda: promote(house), {"Production": "3", "1": "1"}),
            (lambda: house.enablements.disable(SERVERLESS), {}),
        ):
            await survive(house, act)
            if expected is not None:
                assert await serving(house) == expected, kill_at
            elif (await house.store.enablements())[0].computes:
                assert await entity(house) == ("Large", True), kill_at
        assert house.running == []


async def promote(house: House) -> None:
    move(house, "2", "Archived")
    move(house, "3", "Production")


async def survive(house: House, act: Callable[[], Awaitable[object]]) -> None:
    """Act, and come to rest; where control is killed it is started anew, and what was not answered is asked again."""
    for attempt in range(3):
        try:
            await act()
            break
        except Killed:
            await house.restart_control()
        except (NotFound, Conflict):
            assert attempt  # done already, before it was killed
            break
    try:
        await rest(house)
    except Killed:
        await house.restart_control()
        await rest(house)


# --- what runs, what it printed, what happened


async def test_a_versions_replicas_and_logs(enabled: House) -> None:
    (replica,) = await enabled.enablements.replicas(SERVERLESS, "1")
    assert replica.served_entity == "wine-Production"
    log = enabled.data.replica_log(replica.revision)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("loaded\n")
    assert await enabled.enablements.logs(SERVERLESS, "1") == "loaded\n"
    assert await enabled.enablements.logs(SERVERLESS, "Production", replica.replica.id) == "loaded\n"
    assert "Building for" in await enabled.enablements.build_logs(SERVERLESS, "1")
    with pytest.raises(NotFound, match="Unable to retrieve logs for this replica"):
        await enabled.enablements.logs(SERVERLESS, "1", "ffffffff")


async def test_the_logs_of_a_version_on_its_way_are_its_own(enabled: House) -> None:
    enabled.builder.gate.clear()
    move(enabled, "1", "Archived")
    move(enabled, "3", "Production")
    for _ in range(3):
        await enabled.follower.run_once()
        await enabled.passes(1)
    assert (await version(enabled, "3")).state is ServingState.PENDING
    log = await enabled.enablements.build_logs(SERVERLESS, "3")
    assert log != await enabled.enablements.build_logs(SERVERLESS, "1")
    enabled.builder.gate.set()
    await rest(enabled)


async def test_the_history_tells_of_the_model_its_stages_and_its_versions(enabled: House) -> None:
    await enabled.enablements.update_compute(SERVERLESS, "Production", "Medium", scale_to_zero=False)
    await rest(enabled)
    history = await enabled.enablements.history(SERVERLESS)
    assert [event.at for event in history] == sorted(event.at for event in history)
    told = {(event.subject.value, event.stage, event.version, event.message) for event in history}
    assert {
        ("model", "", "", "Serverless Real-Time Inference was enabled by admin."),
        ("service", "Production", "", "Production is to use size Medium, without scale to zero."),
        ("service", "Production", "1", "Configuration 2 (wine/1) serves."),
        ("version", "Staging", "", "Served entity 'wine-Staging' is ready."),
    } <= told


@pytest.fixture
async def running(enabled: House) -> AsyncIterator[House]:
    """The same, with its loops."""
    enabled.control.reconciling.start()
    enabled.control.following.start()
    yield enabled
    await enabled.control.following.stop()


async def test_the_loops_do_it_by_themselves_after_a_write_to_the_registry(running: House) -> None:
    move(running, "3", "Production")
    running.gateway.registry_writes += 1
    running.gateway.report()
    async with asyncio.timeout(5):
        while await serving(running) != {"Production": "3", "Staging": "2", "1": "1"}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
