"""Rollback and the record of switches, over HTTP."""

from typing import Any

from tests.api.conftest import Api
from tests.api.test_wire import is_error

OURS = "/api/tidegate/v1/endpoints/wine"
THEIRS = "/api/2.0/serving-endpoints/wine"


def side(version: int) -> dict[str, Any]:
    """A configuration of one version of "wine", in short."""
    entity = {"name": f"wine-{version}", "entity_name": "wine", "resolved_version": str(version)}
    return {"config_version": version, "served_entities": [{**entity, "traffic_percentage": 100}]}


async def updated(api: Api) -> None:
    """An endpoint that was updated from version 1 to 2 of its model."""
    await api.ready()
    body = {"served_entities": [{"entity_name": "wine", "entity_version": "2"}]}
    assert (await api.http.put(f"{THEIRS}/config", json=body)).status_code == 200
    await api.settled()


async def test_a_rollback_answers_the_endpoint_and_brings_back_what_served(api: Api) -> None:
    await updated(api)
    before = (await api.http.get(THEIRS)).json()
    answer = await api.http.post(f"{OURS}/rollback")
    assert answer.status_code == 200
    assert answer.json()["pending_config"]["config_version"] == 1
    await api.settled()
    after = (await api.http.get(THEIRS)).json()
    assert after["config"]["config_version"] == 1
    assert after["state"] == before["state"]
    assert after.keys() == before.keys()  # what is parked is not in Databricks' JSON


async def test_a_rollback_is_refused_with_a_sentence(api: Api) -> None:
    await api.ready()
    assert "nothing to roll back to" in is_error(await api.http.post(f"{OURS}/rollback"), 409, "RESOURCE_CONFLICT")
    answer = await api.http.post("/api/tidegate/v1/endpoints/tea/rollback")
    is_error(answer, 404, "RESOURCE_DOES_NOT_EXIST")


async def test_the_record_tells_who_switched_from_what_to_what(api: Api) -> None:
    await updated(api)
    await api.http.post(f"{OURS}/rollback")
    await api.settled()
    answer = (await api.http.get(f"{OURS}/switches")).json()
    at = answer["switches"][-1]["timestamp"]
    verdicts = [switch.pop("gate") and "passed" for switch in answer["switches"]]
    assert [{key: value for key, value in switch.items() if key != "timestamp"} for switch in answer["switches"]] == [
        {"by": "admin", "from": None, "to": side(1)},
        {"by": "admin", "from": side(1), "to": side(2)},
        {"by": "rollback", "from": side(2), "to": side(1)},
    ]
    assert verdicts == [None, "passed", None]  # nobody was there to be compared with; a rollback has no gate
    assert answer["parked"] == {**side(2), "since": at, "replicas_until": None, "replaced_by": "rollback"}


async def test_where_nothing_is_parked_the_record_says_so(api: Api) -> None:
    await api.ready()
    assert (await api.http.get(f"{OURS}/switches")).json()["parked"] is None
