"""Updates under load: no request is lost, and every answer is of one of the two versions."""

import pytest

from tests.e2e.conftest import Registered
from tests.e2e.load import Load
from tests.e2e.running_platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def update_under_load(house: Platform, iris: Registered, times: int) -> Load:
    """Swap version 1 and 2 so many times while 100 requests a second come in."""
    name = f"swap-{times}"
    house.launch(name, "iris", "1")
    with Load(house, name, iris.request) as load:
        for turn in range(times):
            version = "2" if turn % 2 == 0 else "1"
            state = house.update(name, {"entity_name": "iris", "entity_version": version})
            assert state["state"]["config_update"] == "NOT_UPDATING"
    with house.client() as client:
        client.delete(f"/api/2.0/serving-endpoints/{name}")
    return load


def test_updates_lose_nothing(house: Platform, iris: Registered) -> None:
    outcome = update_under_load(house, iris, 4).outcome
    assert outcome.lost == {}
    assert set(outcome.served) == {"iris-1", "iris-2"}


@pytest.mark.acceptance
def test_forty_updates_lose_nothing(house: Platform, iris: Registered) -> None:
    outcome = update_under_load(house, iris, 40).outcome
    print(f"FIGURE 40 updates under 100 requests/s: {dict(outcome.statuses)}, served {dict(outcome.served)}")
    assert outcome.lost == {}
    assert set(outcome.served) == {"iris-1", "iris-2"}


def test_a_failed_update_leaves_the_old_configuration_serving(house: Platform, iris: Registered) -> None:
    from tests.e2e.conftest import register

    register(house, "fails_to_load", "fails-to-load")
    house.launch("stays", "iris", "1")
    with Load(house, "stays", iris.request, rate=20) as load:
        state = house.update("stays", {"entity_name": "fails-to-load", "entity_version": "1"})
        assert state["state"]["config_update"] == "UPDATE_FAILED"
        assert state["state"]["ready"] == "READY"
        assert state["config"]["served_entities"][0]["entity_name"] == "iris"
    assert load.outcome.lost == {}
    assert set(load.outcome.served) == {"iris-1"}
    with house.client() as client:
        log = client.get("/api/2.0/serving-endpoints/stays/served-models/fails-to-load-1/logs").json()["logs"]
        assert "the weights are of another model" in log
        events = client.get("/api/tidegate/v1/endpoints/stays/events").json()["events"]
        assert any("the weights are of another model" in event["message"] for event in events)
        # The way back is an update like any other.
    state = house.update("stays", {"entity_name": "iris", "entity_version": "2"})
    assert state["state"]["config_update"] == "NOT_UPDATING"
    assert house.score("stays", iris.request).headers["served-model-name"] == "iris-2"


def test_a_second_update_while_one_runs_is_refused(house: Platform, iris: Registered) -> None:
    house.launch("busy", "iris", "1")
    with house.client() as client:
        path = "/api/2.0/serving-endpoints/busy/config"
        first = client.put(path, json={"served_entities": [{"entity_name": "iris", "entity_version": "2"}]})
        assert first.json()["state"]["config_update"] == "IN_PROGRESS"
        second = client.put(path, json={"served_entities": [{"entity_name": "iris", "entity_version": "1"}]})
        assert (second.status_code, second.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
    assert house.settled("busy")["config"]["served_entities"][0]["entity_version"] == "2"
