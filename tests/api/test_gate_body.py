"""The gate over HTTP: what it holds back, what it found, and the way past it."""

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.test_wire import URL, a_body, is_error
from tidegate.core.rollout.replay import Findings

GATE = "/api/tidegate/v1/endpoints/wine/gate"
FORCE = "/api/tidegate/v1/endpoints/wine/force"
SAFE = {"mode": "safe", "max_changed_share": 0.05, "record": True}


async def updated(api: Api, version: str = "2", **fields: Any) -> dict[str, Any]:
    """The endpoint after an update that the gate lets through or not."""
    change = {"served_entities": [{"entity_name": "wine", "entity_version": version}], **fields}
    answer = await api.http.put(f"{URL}/wine/config", json=change)
    assert answer.status_code == 200, answer.text
    await api.settled()
    return dict((await api.http.get(f"{URL}/wine")).json())


def fails(api: Api) -> None:
    """From now on each replay finds an error."""
    api.house.gateway.finds = lambda replay: Findings(replay.id, requests=9, errors=1, error="ValueError: no.")


async def test_before_any_update_there_is_no_report(api: Api) -> None:
    await api.ready()
    assert (await api.http.get(GATE)).json() == {"policy": SAFE, "report": None}


async def test_a_change_leaves_out_what_stays(api: Api) -> None:
    await api.ready()
    answer = await api.http.patch(GATE, json={"mode": "strict", "max_changed_share": 0.01})
    assert answer.status_code == 200
    assert answer.json() == {"policy": {**SAFE, "mode": "strict", "max_changed_share": 0.01}, "report": None}
    answer = await api.http.patch(GATE, json={"record": False, "mode": None})
    assert answer.json()["policy"] == {"mode": "strict", "max_changed_share": 0.01, "record": False}
    assert (await api.http.get(GATE)).json() == answer.json()
    assert (await api.http.patch(GATE, json={})).json() == answer.json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"mode": "lenient"}', "mode"),
        ('{"max_changed_share": 1.01}', "max_changed_share"),
        ('{"max_changed_share": -0.01}', "max_changed_share"),
        ('{"max_changed_share": NaN}', "max_changed_share"),
        ('{"record": "perhaps"}', "record"),
        ('{"modes": "safe"}', "modes"),
    ],
)
async def test_nonsense_is_refused_by_field_and_changes_nothing(api: Api, body: str, field: str) -> None:
    await api.ready()
    answer = await api.http.patch(GATE, content=body, headers={"content-type": "application/json"})
    assert field in is_error(answer, 400, "INVALID_PARAMETER_VALUE")
    assert (await api.http.get(GATE)).json()["policy"] == SAFE


async def test_of_no_endpoint(api: Api) -> None:
    nobody = "/api/tidegate/v1/endpoints/tea"
    is_error(await api.http.get(f"{nobody}/gate"), 404, "RESOURCE_DOES_NOT_EXIST")
    is_error(await api.http.patch(f"{nobody}/gate", json={"mode": "off"}), 404, "RESOURCE_DOES_NOT_EXIST")
    is_error(await api.http.post(f"{nobody}/force"), 404, "RESOURCE_DOES_NOT_EXIST")


async def test_what_is_held_back_is_a_failed_update_with_a_report(api: Api) -> None:
    await api.ready()
    fails(api)
    shown = await updated(api)
    sentence = "1 of 9 replayed requests failed that were answered before: ValueError: no"
    assert shown["state"]["config_update"] == shown["state"]["update_state"] == "UPDATE_FAILED"
    assert shown["state"]["ready"] == "READY"
    assert shown["state"]["message"] == shown["failed_config"]["message"] == f"The gate holds it back: {sentence}."
    assert shown["config"]["served_entities"][0]["entity_version"] == "1"
    report = shown["failed_config"]["gate"]
    assert (report["verdict"], report["mode"], report["reasons"]) == ("held_back", "safe", [sentence])
    assert (await api.http.get(GATE)).json()["report"] == report


async def test_what_failed_by_itself_has_no_report(api: Api) -> None:
    await api.ready()
    api.house.engine.broken["wine-2"] = "It does not load."
    assert (await updated(api))["failed_config"]["gate"] is None
    assert "holds back nothing" in is_error(await api.http.post(FORCE), 409, "RESOURCE_CONFLICT")


async def test_force_has_it_serve_all_the_same_and_the_record_says_so(api: Api) -> None:
    await api.ready()
    fails(api)
    await updated(api)
    answer = await api.http.post(FORCE)
    assert answer.status_code == 200
    assert answer.json()["pending_config"]["config_version"] == 3
    await api.settled()
    shown = (await api.http.get(f"{URL}/wine")).json()
    assert shown["config"]["served_entities"][0]["entity_version"] == "2"
    switch = (await api.http.get("/api/tidegate/v1/endpoints/wine/switches")).json()["switches"][-1]
    assert switch["by"] == "admin"
    assert switch["gate"] == {"verdict": "forced", "mode": "safe", "reasons": [], "served_entities": {}}


async def test_an_update_may_be_forced(api: Api) -> None:
    await api.ready()
    fails(api)
    assert (await updated(api, force=True))["config"]["served_entities"][0]["entity_version"] == "2"
    assert (await api.http.get(GATE)).json()["report"]["verdict"] == "forced"
    assert (await updated(api, "3"))["state"]["config_update"] == "UPDATE_FAILED"


async def test_a_switch_tells_what_the_gate_found(api: Api) -> None:
    await api.ready()
    api.house.gateway.finds = lambda replay: Findings(replay.id, requests=9, compared=9, exact=8, close=1)
    await updated(api)
    switches = (await api.http.get("/api/tidegate/v1/endpoints/wine/switches")).json()["switches"]
    assert switches[0]["gate"] is None
    assert switches[1]["gate"] == (await api.http.get(GATE)).json()["report"]
    told = switches[1]["gate"]["served_entities"]["wine-2"]["answers"]
    assert (told["compared"], told["exact"], told["within_tolerance"], told["changed_share"]) == (9, 8, 1, 0.0)


async def test_a_creation_takes_a_gate(api: Api) -> None:
    body = {**a_body(), "gate": {"mode": "off", "record": False}}
    assert (await api.http.post(URL, json=body)).status_code == 200
    await api.settled()
    assert (await api.http.get(GATE)).json()["policy"] == {"mode": "off", "max_changed_share": 0.05, "record": False}
    fails(api)
    assert (await updated(api))["state"]["config_update"] == "NOT_UPDATING"


async def test_a_creation_with_a_gate_that_makes_no_sense_is_refused(api: Api) -> None:
    answer = await api.http.post(URL, json={**a_body(), "gate": {"max_changed_share": 2}})
    assert "max_changed_share" in is_error(answer, 400, "INVALID_PARAMETER_VALUE")
    is_error(await api.http.get(f"{URL}/wine"), 404, "RESOURCE_DOES_NOT_EXIST")
