"""The gate as control keeps it: replays are ordered, waited for and judged, whatever happens in between."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.control.house import Gateway, House, a_request, an_entity, until
from tests.control.registry.test_registry_follower import point, promote, versions
from tidegate.control.endpoints.endpoint_requests import ConfigRequest
from tidegate.core.endpoint.gate_policy import GateMode, GatePolicy
from tidegate.core.errors import Conflict, NotFound
from tidegate.core.rollout.replay import Findings, Replay

SENTENCE = "The gate holds it back: 1 of 9 replayed requests failed that were answered before: ValueError: no."


def fine(replay: Replay) -> Findings:
    return Findings(replay.id, requests=9)


def errors(replay: Replay) -> Findings:
    return Findings(replay.id, requests=9, errors=1, error="ValueError: no.")


def changes(replay: Replay) -> Findings:
    return Findings(replay.id, requests=9, compared=9, changed=9)


def nothing_yet(replay: Replay) -> None:
    """It is still under way."""


@pytest.fixture
async def serving(house: House) -> House:
    """An endpoint `wine` that serves version 1."""
    await house.create()
    await house.settle()
    return house


def ordered(house: House) -> list[str]:
    """The ids of the replays that are ordered now."""
    assert house.gateways.table is not None
    return [replay.id for replay in house.gateways.table.replays]


async def ordering(house: House) -> list[str]:
    """Pass until a replay is ordered."""
    await house.until(lambda: ordered(house))
    return ordered(house)


async def tells(gateway: Gateway, house: House) -> None:
    """Have the gateway report, and control hear it."""
    before = house.gateways.reports
    gateway.report()
    await until(lambda: house.gateways.reports != before)


async def is_pending(house: House) -> bool:
    return (await house.endpoints.get("wine")).endpoint.pending is not None


async def report(house: House) -> dict[str, Any]:
    """The newest report of the gate."""
    return dict(json.loads((await house.endpoints.gate("wine")).report))


# --- what is found decides


async def test_what_breaks_a_caller_is_held_back_and_what_served_goes_on(serving: House) -> None:
    serving.gateway.finds = errors
    await serving.update("2")
    await serving.settle()
    assert await serving.state() == ("READY", "UPDATE_FAILED")
    assert serving.serving == serving.running == ["wine-1"]
    view = await serving.endpoints.get("wine")
    assert view.status.message == SENTENCE
    assert view.endpoint.failed is not None
    assert json.loads(view.endpoint.failed.report)["served_entities"]["wine-2"]["errors"]["count"] == 1
    event = (await serving.endpoints.events("wine"))[-1]
    assert (event.kind, event.message) == ("held_back", SENTENCE)
    assert len(await serving.store.switches(view.endpoint.id)) == 1
    assert ordered(serving) == []


async def test_what_passes_serves_and_its_report_is_on_record(serving: House) -> None:
    serving.gateway.finds = changes  # which `safe` only reports
    view = await serving.update("2")
    await serving.settle()
    assert await serving.state() == ("READY", "NOT_UPDATING")
    assert serving.serving == ["wine-2"]
    first, second = await serving.store.switches(view.endpoint.id)
    assert first.report == ""
    told = json.loads(second.report)
    assert (told["verdict"], told["served_entities"]["wine-2"]["answers"]["changed"]) == ("passed", 9)
    assert "held_back" not in await serving.kinds()


async def test_until_it_is_done_what_served_goes_on(serving: House) -> None:
    serving.gateway.finds = nothing_yet
    await serving.update("2")
    [identity] = await ordering(serving)
    await serving.passes(5)
    assert (serving.serving, await is_pending(serving), ordered(serving)) == (["wine-1"], True, [identity])
    [replay] = serving.gateway.tables[-1].replays
    assert serving.gateway.tables[-1].revisions[replay.candidate].served_entity == "wine-2"
    serving.gateway.finds = fine
    serving.gateway.report()
    await serving.settle()
    assert (serving.serving, ordered(serving)) == (["wine-2"], [])


async def test_the_first_configuration_has_no_gate(house: House) -> None:
    house.gateway.finds = errors
    await house.create()
    await house.settle()
    assert house.serving == ["wine-1"]
    assert not any(table.replays for table in house.gateway.tables)
    assert (await house.endpoints.gate("wine")).report == ""


# --- several gateways, and one that is away


async def test_all_gateways_must_have_done_it_and_one_is_enough_to_hold_it_back(serving: House) -> None:
    serving.gateways.expected = 2
    second = Gateway(serving.data.planes_socket, 1, 2)
    second.finds = nothing_yet
    await second.connect()
    await serving.update("2")
    await ordering(serving)
    await until(lambda: second.tables and second.tables[-1].replays and len(serving.gateways.reports) == 2)
    await serving.passes(5)
    assert await is_pending(serving)
    second.finds = errors
    await tells(second, serving)
    await serving.settle()
    assert serving.serving == ["wine-1"]
    told = (await report(serving))["served_entities"]["wine-2"]
    assert (told["requests"], told["errors"]["count"]) == (9, 1)
    await second.close()


@pytest.mark.parametrize(("finds", "served"), [(fine, "wine-2"), (errors, "wine-1")])
async def test_a_gateway_that_is_missing_is_waited_for_and_not_for_good(
    serving: House, finds: Any, served: str
) -> None:
    serving.gateways.expected = 2
    serving.gateway.finds = finds
    await serving.update("2")
    await ordering(serving)
    await until(lambda: any(one.findings for one in serving.gateways.reports))
    serving.clock.advance(44.9)
    await serving.passes(5)
    assert await is_pending(serving)
    serving.clock.advance(0.1)
    await serving.passes(5)
    assert not await is_pending(serving)
    assert serving.serving == [served]


async def test_without_any_gateway_an_update_is_not_kept_for_good(serving: House) -> None:
    serving.gateway.finds = nothing_yet
    await serving.update("2")
    await ordering(serving)
    await serving.gateway.close()
    await until(lambda: not serving.gateways.reports)
    await serving.passes(5)
    assert await is_pending(serving)
    serving.clock.advance(45.0)
    await serving.passes(5)
    assert serving.serving == ["wine-2"]
    assert (await report(serving))["served_entities"]["wine-2"]["requests"] == 0
    await serving.gateway.connect()


async def test_a_gateway_that_comes_back_is_heard(serving: House) -> None:
    serving.gateway.finds = nothing_yet
    await serving.update("2")
    await ordering(serving)
    await serving.gateway.close()
    await until(lambda: not serving.gateways.reports)
    successor = serving.gateway = Gateway(serving.data.planes_socket, 0, 2)
    successor.finds = errors
    await successor.connect()
    await serving.settle()
    assert await serving.state() == ("READY", "UPDATE_FAILED")


# --- what happens in between


async def test_control_that_begins_anew_orders_the_same_replay(serving: House) -> None:
    serving.gateway.finds = nothing_yet
    await serving.update("2")
    before = await ordering(serving)
    await serving.restart_control()
    serving.gateway.finds = nothing_yet
    assert await ordering(serving) == before
    serving.gateway.finds = errors
    await tells(serving.gateway, serving)
    await serving.settle()
    assert (serving.serving, await serving.state()) == (["wine-1"], ("READY", "UPDATE_FAILED"))


async def test_a_newer_update_replaces_the_replay(house: House) -> None:
    point(house, "1")
    await house.create("wine", an_entity("@champion"))
    await house.settle()
    house.gateway.finds = nothing_yet
    await promote(house, "2")
    [first] = await ordering(house)
    await promote(house, "3")
    await house.until(lambda: ordered(house) not in ([], [first]))
    house.gateway.finds = lambda replay: errors(replay) if replay.id == first else fine(replay)
    await tells(house.gateway, house)
    await house.settle()
    assert await versions(house) == ("3", None, None)


async def test_a_rollback_takes_the_replay_away(serving: House) -> None:
    serving.gateway.finds = nothing_yet
    await serving.update("2")
    await ordering(serving)
    await serving.endpoints.rollback("wine")
    await serving.settle()
    assert (ordered(serving), serving.serving) == ([], ["wine-1"])


async def test_an_endpoint_that_is_deleted_meanwhile_is_not_tried_any_more(serving: House) -> None:
    serving.gateway.finds = nothing_yet
    await serving.update("2")
    await ordering(serving)
    await serving.endpoints.delete("wine")
    await serving.passes(1)
    assert ordered(serving) == []


async def test_a_rollback_to_what_served_before_has_no_gate(serving: House) -> None:
    await serving.update("2")
    await serving.settle()
    serving.gateway.finds = errors
    del serving.gateway.tables[:-1]
    await serving.endpoints.rollback("wine")
    await serving.settle()
    assert serving.serving == ["wine-1"]
    assert not any(table.replays for table in serving.gateway.tables)
    view = await serving.endpoints.get("wine")
    assert [switch.report != "" for switch in await serving.store.switches(view.endpoint.id)] == [False, True, False]


# --- what is followed


async def test_a_version_that_is_held_back_is_tried_again_when_its_pointer_comes_back(house: House) -> None:
    point(house, "1")
    await house.create("wine", an_entity("@champion"))
    await house.settle()
    house.gateway.finds = errors
    await promote(house, "2")
    await house.settle()
    for _ in range(2):
        await house.follower.run_once()
        await house.settle()
        assert await versions(house) == ("1", None, "2")
    assert (await house.kinds()).count("held_back") == 1
    await promote(house, "1")
    await house.settle()
    assert await versions(house) == ("1", None, None)
    await promote(house, "2")
    await house.settle()
    assert await versions(house) == ("1", None, "2")
    assert (await house.kinds()).count("held_back") == 2
    house.gateway.finds = fine
    await promote(house, "3")
    await house.settle()
    assert await versions(house) == ("3", None, None)


# --- past the gate


async def test_what_was_held_back_serves_when_its_owner_insists(serving: House) -> None:
    serving.gateway.finds = errors
    await serving.update("2")
    await serving.settle()
    view = await serving.endpoints.force("wine", "somebody")
    assert view.endpoint.pending is not None
    assert (view.endpoint.pending.config.version, view.endpoint.pending.forced) == (3, True)
    await serving.settle()
    assert (serving.serving, await serving.state()) == (["wine-2"], ("READY", "NOT_UPDATING"))
    switch = (await serving.store.switches(view.endpoint.id))[-1]
    assert (switch.by, json.loads(switch.report)["verdict"]) == ("somebody", "forced")
    assert (await report(serving))["verdict"] == "forced"
    events = await serving.endpoints.events("wine")
    assert "Configuration 3 (wine/2) is being prepared. The gate is skipped." in [event.message for event in events]
    with pytest.raises(Conflict, match="holds back nothing of endpoint 'wine'"):
        await serving.endpoints.force("wine")


async def test_only_what_the_gate_held_back_can_be_forced(serving: House) -> None:
    serving.engine.broken["wine-2"] = "It does not load."
    await serving.update("2")
    await serving.settle()
    with pytest.raises(Conflict, match='An update with "force" asks no gate'):
        await serving.endpoints.force("wine")
    with pytest.raises(NotFound):
        await serving.endpoints.force("tea")


async def test_a_forced_update_is_not_tried(serving: House) -> None:
    serving.gateway.finds = errors
    await serving.endpoints.update_config("wine", ConfigRequest((an_entity("2"),), forced=True), "somebody")
    await serving.settle()
    assert serving.serving == ["wine-2"]
    assert not any(table.replays for table in serving.gateway.tables)
    assert (await report(serving))["verdict"] == "forced"
    await serving.update("3")
    await serving.settle()
    assert serving.serving == ["wine-2"]  # the next one is tried again


# --- the policy


async def test_an_endpoints_own_policy_applies_from_the_next_update_on(serving: House) -> None:
    assert (await serving.endpoints.gate("wine")).policy == GatePolicy()
    strict = GatePolicy(GateMode.STRICT, 0.5)
    assert (await serving.endpoints.set_gate("wine", strict)).policy == strict
    serving.gateway.finds = changes
    await serving.update("2")
    await serving.settle()
    assert serving.serving == ["wine-1"]
    assert (await report(serving))["reasons"] == ["9 of 9 answers changed (100.0%; `strict` allows 50.0%)"]
    await serving.endpoints.set_gate("wine", replace(strict, max_changed_share=1.0))
    await serving.update("3")
    await serving.settle()
    assert serving.serving == ["wine-3"]


async def test_a_gate_that_is_taken_away_in_the_middle_keeps_nothing_back(serving: House) -> None:
    serving.gateway.finds = nothing_yet
    await serving.update("2")
    await ordering(serving)
    await serving.endpoints.set_gate("wine", GatePolicy(GateMode.OFF))
    await serving.settle()
    assert (serving.serving, ordered(serving)) == (["wine-2"], [])


async def test_gateways_are_told_what_to_record(serving: House) -> None:
    await serving.endpoints.set_gate("wine", GatePolicy(record=False))
    await serving.passes(1)
    assert serving.gateways.table is not None
    assert serving.gateways.table.endpoints["wine"].record is False


async def test_a_creation_may_have_its_own_policy(house: House) -> None:
    off = GatePolicy(GateMode.OFF)
    await house.endpoints.create(replace(a_request(), gate=off))
    await house.settle()
    house.gateway.finds = errors
    await house.update("2")
    await house.settle()
    assert (house.serving, (await house.endpoints.gate("wine")).policy) == (["wine-2"], off)


async def test_the_newest_report_is_that_of_what_was_held_back_and_else_of_the_last_switch(serving: House) -> None:
    await serving.update("2")
    await serving.settle()
    assert (await report(serving))["verdict"] == "passed"
    serving.gateway.finds = errors
    await serving.update("3")
    await serving.settle()
    assert (await report(serving))["verdict"] == "held_back"
