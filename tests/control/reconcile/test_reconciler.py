"""The loop, driven pass by pass: every walk from what was asked to what runs, and faults on the way."""

import asyncio
import itertools
import time

import pytest

from tests.control.house import NO_BUILD, House, an_entity
from tidegate.control.endpoints.endpoint_requests import ConfigRequest
from tidegate.core.endpoint.endpoint import Route
from tidegate.core.endpoint.lifecycle import RevisionState
from tidegate.core.endpoint.status import Deployment
from tidegate.core.errors import Unavailable
from tidegate.core.planes.load_report import RevisionLoad

# --- walks


async def test_a_created_endpoint_becomes_ready_and_is_routed(house: House) -> None:
    await house.create()
    assert await house.state() == ("NOT_READY", "IN_PROGRESS")
    await house.settle()
    assert await house.state() == ("READY", "NOT_UPDATING")
    assert house.serving == house.running == ["wine-1"]


async def test_what_is_said_to_serve_is_routed_already(house: House) -> None:
    view = await house.create()
    while view.endpoint.pending is not None:
        await house.passes(1)
        view = await house.endpoints.get("wine")
    assert house.serving == ["wine-1"]


async def test_an_owner_sees_what_happened(house: House) -> None:
    house.engine.warning = "There is no input example, so nothing was predicted."
    await house.create()
    await house.settle()
    events = await house.endpoints.events("wine")
    assert [event.kind for event in events] == ["created", "preparing", "starting", "ready", "promoted"]
    assert events[3].message.endswith("There is no input example, so nothing was predicted.")


async def test_an_endpoint_whose_first_build_fails_says_why(house: House) -> None:
    house.builder.fault = NO_BUILD
    view = await house.create()
    await house.settle()
    assert await house.state() == ("NOT_READY", "UPDATE_FAILED")
    status = (await house.endpoints.get("wine")).status
    assert status.message == NO_BUILD.message
    assert [entity.deployment for entity in status.entities.values()] == [Deployment.FAILED]
    assert NO_BUILD.message in await house.endpoints.build_logs("wine", "wine-1")
    assert house.gateways.table is not None
    assert house.gateways.table.endpoints[view.endpoint.name].failed


async def test_a_failed_update_leaves_the_old_configuration_serving(house: House) -> None:
    await house.create()
    await house.settle()
    house.engine.broken["wine-2"] = "The model could not be loaded: No module named 'pandas'."
    await house.update("2")
    await house.settle()
    assert await house.state() == ("READY", "UPDATE_FAILED")
    assert house.serving == house.running == ["wine-1"]
    assert (await house.endpoints.get("wine")).status.message.endswith("No module named 'pandas'.")


async def test_a_failed_update_may_be_tried_again(house: House) -> None:
    await house.create()
    await house.settle()
    house.engine.broken["wine-2"] = "The model could not be loaded."
    await house.update("2")
    await house.settle()
    house.engine.broken.clear()
    assert (await house.update("2")).status.entities  # and it is shown as being created, not as failed
    states = (await house.endpoints.get("wine")).status.entities.values()
    assert {state.deployment for state in states} == {Deployment.READY, Deployment.CREATING}
    await house.settle()
    assert await house.state() == ("READY", "NOT_UPDATING")
    assert house.serving == house.running == ["wine-2"]


async def test_an_update_swaps_and_the_old_one_ends(house: House) -> None:
    await house.create()
    await house.settle()
    await house.update("2")
    assert await house.state() == ("READY", "IN_PROGRESS")
    await house.until(lambda: house.running == ["wine-2"])
    assert house.serving == ["wine-2"]
    assert (await house.endpoints.get("wine")).endpoint.active.version == 2  # type: ignore[union-attr]


async def test_an_update_to_the_same_passes_quickly_and_restarts_nothing(house: House) -> None:
    await house.create()
    await house.settle()
    applied = len(house.engine.log)
    await house.update("1")
    await house.passes(2)
    active = (await house.endpoints.get("wine")).endpoint.active
    assert active is not None
    assert active.version == 2
    assert len(house.engine.log) == applied


async def test_there_and_back_again_while_the_old_one_drains(house: House) -> None:
    await house.create()
    await house.settle()
    await house.update("2")
    await house.settle()
    house.engine.drains = True
    await house.update("3")
    await house.until(lambda: house.serving == ["wine-3"])
    await house.update("1")
    await house.until(lambda: house.serving == ["wine-1"])
    house.engine.drains = False
    await house.until(lambda: house.running == ["wine-1"])
    assert await house.state() == ("READY", "NOT_UPDATING")


async def test_a_traffic_split_serves_both(house: House) -> None:
    entities = (an_entity("1"), an_entity("2"))
    await house.create("wine", *entities)
    await house.settle()
    routes = (Route("wine-1", 90), Route("wine-2", 10))
    await house.endpoints.update_config("wine", ConfigRequest(None, routes))
    await house.settle()
    assert house.gateways.table is not None
    assert [share for _, share in house.gateways.table.endpoints["wine"].weights] == [90, 10]
    assert len([entry for entry in house.engine.log if entry[0] == "remove"]) == 0


# --- the swap's order


async def test_the_old_one_is_kept_until_every_gateway_follows(house: House) -> None:
    await house.create()
    await house.settle()
    house.gateway.stubborn = True
    await house.update("2")
    await house.until(lambda: house.serving == ["wine-2"])
    await house.passes(10)
    assert house.running == ["wine-1", "wine-2"]
    house.gateway.follow()
    await house.until(lambda: house.running == ["wine-2"])


async def test_the_old_one_is_kept_until_its_last_request_is_answered(house: House) -> None:
    await house.create()
    await house.settle()
    (old,) = house.engine.held
    house.gateway.revisions[old] = RevisionLoad(in_flight=1)
    house.gateway.report()
    await house.update("2")
    await house.until(lambda: house.serving == ["wine-2"])
    await house.passes(10)
    assert house.running == ["wine-1", "wine-2"]
    house.gateway.revisions[old] = RevisionLoad(queued=1)
    house.gateway.report()
    await house.passes(10)
    assert house.running == ["wine-1", "wine-2"]
    house.gateway.revisions.clear()
    house.gateway.report()
    await house.until(lambda: house.running == ["wine-2"])


async def test_the_old_one_is_kept_while_a_gateway_is_missing(house: House) -> None:
    await house.create()
    await house.settle()
    await house.gateway.close()
    await house.update("2")
    await house.until(lambda: house.serving == ["wine-2"])
    await house.passes(10)
    assert house.running == ["wine-1", "wine-2"]
    await house.gateway.connect()
    await house.until(lambda: house.running == ["wine-2"])


async def test_what_nobody_can_come_back_to_is_kept_until_every_gateway_follows(house: House) -> None:
    await house.create()
    await house.settle()
    house.gateway.stubborn = True
    await house.update("2")
    await house.until(lambda: house.serving == ["wine-2"])
    await house.passes(2)
    await house.update("3")
    await house.until(lambda: house.serving == ["wine-3"])
    await house.passes(10)
    assert house.running == ["wine-1", "wine-2", "wine-3"]
    house.gateway.follow()
    await house.until(lambda: house.running == ["wine-3"])
    assert len(house.engine.held) == 2


# --- restarts

_STATES = (
    RevisionState.PENDING,
    RevisionState.PREPARING,
    RevisionState.STARTING,
    RevisionState.READY,
    RevisionState.RETIRING,
    RevisionState.RETIRED,
)


@pytest.mark.parametrize("state", _STATES)
async def test_control_may_end_in_every_state_of_a_revision(house: House, state: RevisionState) -> None:
    await house.create()
    house.engine.drains = True
    if state in (RevisionState.RETIRING, RevisionState.RETIRED):
        await house.settle()
        await house.update("2")
        await house.settle()
        await house.update("3")
        house.engine.drains = state is RevisionState.RETIRING

    def reached() -> bool:
        revisions = house.control.world.snapshot.revisions.values()
        return any(revision.state is state and revision.entity.name == "wine-1" for revision in revisions)

    await house.until(reached)
    await house.restart_control()
    house.engine.drains = False
    wanted = "wine-3" if state in (RevisionState.RETIRING, RevisionState.RETIRED) else "wine-1"
    await house.until(lambda: house.running == house.serving == [wanted])
    assert await house.state() == ("READY", "NOT_UPDATING")


async def test_a_preparation_is_started_again_after_a_restart(house: House) -> None:
    house.builder.gate.clear()
    await house.create()
    await house.until(lambda: house.builder.running == 1)
    await house.restart_control()
    assert house.builder.cancelled == 1
    house.builder.gate.set()
    await house.settle()
    assert await house.state() == ("READY", "NOT_UPDATING")


async def test_a_restarted_control_publishes_before_it_plans(house: House) -> None:
    await house.create()
    await house.settle()
    await house.restart_control()
    house.engine.away = True
    await house.control.world.observe()
    assert house.serving == ["wine-1"]


# --- deletion


@pytest.mark.parametrize("state", [None, *_STATES[:4]])
async def test_an_endpoint_can_be_deleted_in_every_state(house: House, state: RevisionState | None) -> None:
    house.builder.gate.clear()
    await house.create()
    if state not in (None, RevisionState.PENDING, RevisionState.PREPARING):
        house.builder.gate.set()
    if state is not None:
        await house.until(lambda: any(r.state is state for r in house.control.world.snapshot.revisions.values()))
    await house.endpoints.delete("wine")
    assert await house.endpoints.list() == ()
    await house.until(lambda: not house.control.world.snapshot.endpoints)
    assert house.engine.held == {}
    assert await house.store.endpoints() == ()
    assert house.builds.preparations == {}
    assert house.serving == []


async def test_an_endpoint_can_be_deleted_while_it_is_updated(house: House) -> None:
    await house.create()
    await house.settle()
    house.builder.gate.clear()
    await house.update("2")
    await house.until(lambda: house.builder.running == 1)
    await house.endpoints.delete("wine")
    await house.until(lambda: not house.control.world.snapshot.endpoints)
    assert house.engine.held == {}
    assert house.builder.cancelled == 1


async def test_a_name_is_free_while_its_old_endpoint_drains(house: House) -> None:
    await house.create()
    await house.settle()
    house.engine.drains = True
    await house.endpoints.delete("wine")
    await house.create()
    await house.until(lambda: len(house.running) == 2 and house.serving == ["wine-1"])
    assert (await house.state())[0] == "READY"


# --- faults


async def test_nothing_is_concluded_while_the_engine_is_away(house: House) -> None:
    await house.create()
    await house.settle()
    house.engine.away = True
    await house.passes(5)
    assert await house.state() == ("READY", "NOT_UPDATING")
    assert house.serving == ["wine-1"]
    await house.update("2")
    await house.passes(5)
    assert await house.state() == ("READY", "IN_PROGRESS")
    house.engine.away = False
    await house.settle()
    assert house.serving == house.running == ["wine-2"]


async def test_what_the_engine_has_lost_is_applied_again(house: House) -> None:
    await house.create()
    await house.settle()
    house.engine.held.clear()
    await house.passes(1)
    assert house.running == ["wine-1"]


async def test_what_nobody_asked_for_is_removed(house: House) -> None:
    await house.create()
    await house.settle()
    (observation,) = house.engine.held.values()
    house.engine.held["f" * 16] = observation  # type: ignore[index]
    await house.passes(1)
    assert len(house.engine.held) == 1


async def test_the_loop_outlives_a_store_that_is_away(house: House) -> None:
    house.control.reconciling.start()
    house.store.failure = Unavailable("The disk is away.")
    house.control.wakeups.changed()
    await asyncio.sleep(0.01)
    house.store.failure = None
    await house.create()
    deadline = time.monotonic() + 5
    while await house.state() != ("READY", "NOT_UPDATING"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_defect_in_one_endpoint_does_not_stop_the_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    import tidegate.control.reconcile.planner as module
    from tidegate.core.rollout.action import Action
    from tidegate.core.rollout.plan import plan
    from tidegate.core.rollout.snapshot import Snapshot

    def flawed(snapshot: Snapshot) -> tuple[Action, ...]:
        if any(endpoint.name == "cursed" for endpoint in snapshot.endpoints):
            raise RuntimeError("a defect")
        return plan(snapshot)

    monkeypatch.setattr(module, "plan", flawed)
    await house.create("cursed")
    await house.create("wine")
    await house.until(lambda: house.serving == ["wine-1"])
    assert await house.state("cursed") == ("NOT_READY", "IN_PROGRESS")


async def test_a_failing_action_is_tried_again_with_back_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []

    async def refuse(_: object) -> None:
        tries.append(house.clock.monotonic())
        raise RuntimeError("a defect of the engine")

    monkeypatch.setattr(house.engine, "apply", refuse)
    await house.create()
    await house.until(lambda: house.clock.monotonic() > 30)
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert pauses == sorted(pauses)
    assert 4.0 <= pauses[-1] <= 4.5


async def test_a_change_by_somebody_else_in_between_is_not_lost(house: House) -> None:
    await house.create()
    await house.until(lambda: house.engine.held)
    await house.endpoints.patch_tags("wine", {"team": "a"}, ())
    await house.settle()
    view = await house.endpoints.get("wine")
    assert view.endpoint.tags == (("team", "a"),)
    assert view.endpoint.active is not None
