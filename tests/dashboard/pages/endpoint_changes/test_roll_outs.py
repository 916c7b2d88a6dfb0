"""The roll-outs of an endpoint: their view model, and the pages over a house."""

import json

from tests.core.examples import a_config, an_endpoint, an_entity, rid
from tests.dashboard import stories
from tests.dashboard.web_house import WebHouse
from tidegate.control.endpoints.endpoint_views import EndpointView, GateView, SwitchesView
from tidegate.core.endpoint.endpoint import FOLLOWER, ROLLBACK, Endpoint, FailedConfig, ParkedConfig, PendingConfig
from tidegate.core.endpoint.gate_policy import GatePolicy
from tidegate.core.endpoint.status import ConfigUpdate, Deployment, EndpointStatus, EntityStatus, Ready
from tidegate.core.rollout.switch import Switch, side_of
from tidegate.dashboard.pages.endpoint_changes.roll_outs import RollOuts, roll_outs
from tidegate.ports import Event

ONE, TWO = a_config(), a_config(an_entity(version="2", name="wine-2"), version=2)
PASSED = json.dumps(
    {"verdict": "passed", "mode": "safe", "reasons": [], "served_entities": {"wine-2": {"requests": 3}}}
)


def shown(
    endpoint: Endpoint, deployment: Deployment = Deployment.CREATING, *switches: Switch, events: int = 0
) -> RollOuts:
    entities = {rid(endpoint, TWO.served_entities[0]): EntityStatus(deployment, "Building.")}
    view = EndpointView(endpoint, EndpointStatus(Ready.READY, ConfigUpdate.IN_PROGRESS, "", entities, 1))
    history = [Event(endpoint.id, float(at), "created", str(at)) for at in range(events)]
    return roll_outs(view, (), SwitchesView(switches, endpoint.previous, None), GateView(GatePolicy(), ""), history)


def test_an_update_shows_how_far_it_is() -> None:
    endpoint = an_endpoint(active=ONE, pending=PendingConfig(TWO, 1.0, FOLLOWER))
    found = shown(endpoint).coming
    assert found is not None
    assert found.by.startswith("the registry")
    assert found.steps == (("prepare and start", "running"), ("gate", "waiting"), ("switch", "waiting"))
    assert (found.entities[0].state, found.entities[0].message) == ("creating", "Building.")
    judged, switching = shown(endpoint, Deployment.READY).coming, shown(endpoint.let_through(2.0)).coming
    assert judged is not None
    assert switching is not None
    assert [state for _, state in judged.steps] == ["done", "running", "waiting"]
    assert [state for _, state in switching.steps] == ["done", "done", "running"]


def test_only_what_the_gate_held_back_may_be_forced() -> None:
    held = shown(an_endpoint(active=ONE, failed=FailedConfig(TWO, "The gate holds it back: x.", "{}"))).refused
    failed = shown(an_endpoint(active=ONE, failed=FailedConfig(TWO, "No build."))).refused
    assert held is not None
    assert failed is not None
    assert (held.may_be_forced, held.report, held.config) == (True, "/endpoints/wine/rollouts/failed", 2)
    assert (failed.may_be_forced, failed.report, failed.sentence) == (False, "", "No build.")


def test_switches_are_told_newest_first_with_their_verdict() -> None:
    endpoint = an_endpoint(active=ONE, previous=ParkedConfig(TWO, 5.0, "ann"))
    there = Switch(endpoint.id, 1.5, "ann", side_of(ONE), side_of(TWO), PASSED)
    back = Switch(endpoint.id, 2.0, ROLLBACK, side_of(TWO), side_of(ONE))
    found = shown(endpoint, Deployment.READY, there, back)
    assert [(entry.after, entry.before, entry.by, entry.verdict, entry.report) for entry in found.entries] == [
        ("wine v1", "wine v2", "a rollback", "", ""),
        ("wine v2", "wine v1", "ann", "passed", "/endpoints/wine/rollouts/1500"),
    ]
    assert found.parked is not None
    assert (found.parked.what, found.parked.replaced_by, found.parked.replicas) == ("v2", "ann", None)


def test_the_newest_events_are_shown_and_the_rest_is_counted() -> None:
    found = shown(an_endpoint(active=ONE), events=25)
    assert ([event.message for event in found.events][:2], len(found.events), found.more_events) == (
        ["24", "23"],
        20,
        5,
    )


async def test_a_version_held_back_has_its_report_as_a_page_and_all_of_it_stays_text(web: WebHouse) -> None:
    await stories.held_back(web.house, "wine")
    page = await web.text("/endpoints/wine/rollouts")
    assert "Held back: v2" in page
    report = await web.text("/endpoints/wine/rollouts/failed")
    for text in (page, report, await web.text("/endpoints/wine/events")):
        assert "<script>alert" not in text
        assert "\u202e" not in text
        assert "&lt;script&gt;alert" in text
    assert "exact <b>480</b>" in report
    assert 'data-change="gone"' in report
    (passed,) = (switch.at for switch in (await web.house.endpoints.switches("wine")).switches if switch.report)
    assert "Passed: 40 replayed requests" in await web.text(f"/endpoints/wine/rollouts/{round(passed * 1000)}")
    assert (await web.http.get("/endpoints/wine/rollouts/17")).status_code == 404


async def test_the_traffic_of_two_versions_is_a_form(web: WebHouse) -> None:
    await stories.split(web.house, "wine")
    page = await web.text("/endpoints/wine/rollouts")
    assert 'name="share:wine-1" value="90"' in page
    assert "<script>alert" not in page
    assert '<div id="head"' in await web.text("/endpoints/wine/head")
