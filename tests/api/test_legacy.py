"""The older products' APIs on the wire: exact names, shapes and states; leniency towards their clients."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from tests.api.conftest import MEMORY_LIMIT, Api
from tests.api.test_wire import DEEP, HALF_A_PAIR, is_error
from tests.control.registry.test_enabled_models import move
from tidegate.core.scaling.minute import MinutePoint

V2 = "/api/2.0/preview/mlflow/endpoints-v2"
V1 = "/api/2.0/preview/mlflow/endpoints"
WINE = {"registered_model_name": "wine"}
OF_1 = {**WINE, "endpoint_version_name": "1"}


def a_minute(at: float) -> MinutePoint:
    return MinutePoint(at, 60, 6, 3, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.25, 400_000_000, 4.0)


def know(api: Api, monkeypatch: pytest.MonkeyPatch, minutes: dict[str, list[MinutePoint]]) -> None:
    """Have control know these minutes of endpoints."""

    async def points_of(names: Sequence[str], since: float, until: float) -> tuple[tuple[MinutePoint, ...], ...]:
        found = (minutes.get(name, []) for name in names)
        return tuple(tuple(minute for minute in own if since <= minute.at <= until) for own in found)

    monkeypatch.setattr(api.house.minutes, "points_of", points_of)


async def enabled(api: Api, prefix: str = V2) -> None:
    """Version 1 in Production and 2 in Staging, enabled and ready."""
    move(api.house, "1", "Production")
    move(api.house, "2", "Staging")
    answer = await api.http.post(f"{prefix}/enable", json=WINE)
    assert (answer.status_code, answer.json()) == (200, {})
    await api.rest()


async def get(api: Api, path: str, parameters: dict[str, Any] | None = None) -> Any:
    """A GET as notebooks sent it: its parameters in a JSON body."""
    answer = await api.http.request("GET", path, json=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def compute(stage: str, size: str = "Small", *, zero: bool = False, version: int = 0) -> dict[str, Any]:
    """A compute configuration without its time."""
    spec = {"workload_size_id": size, "scale_to_zero_enabled": zero}
    return {"stage": stage, "version": version, "user_id": 0, "workload_spec": spec}


def timeless(value: Any) -> Any:
    """The same without times."""
    if isinstance(value, dict):
        return {key: timeless(one) for key, one in value.items() if key != "creation_timestamp"}
    return [timeless(one) for one in value] if isinstance(value, list) else value


# --- Serverless Real-Time Inference


@pytest.mark.parametrize(("prefix", "product"), [(V2, "serverless"), (V1, "classic")])
async def test_when_it_is_enabled_its_versions_are_pending_and_gateways_know_them(
    api: Api, prefix: str, product: str
) -> None:
    api.house.builder.gate.clear()
    move(api.house, "1", "Production")
    await api.http.post(f"{prefix}/enable", json=WINE)
    known = api.house.gateway.tables[-1].faces[f"{product}/wine"]
    assert {"production", "1"} <= known.keys()
    assert known["1"].unavailable == "Version 1 of model 'wine' is being started."
    versions = await get(api, f"{prefix}/list-versions", WINE)
    assert "STATE_PENDING" in str(versions)
    api.house.builder.gate.set()


async def test_where_no_version_is_in_a_stage_it_is_pending_and_has_no_compute(api: Api) -> None:
    await api.http.post(f"{V2}/enable", json=WINE)
    assert await get(api, f"{V2}/get-status", WINE) == {
        "endpoint_status": {
            "registered_model_name": "wine",
            "state": "ENDPOINT_STATE_PENDING",
            "state_message": "No version of the model is served yet.",
        }
    }


async def test_its_status_and_versions(api: Api) -> None:
    await enabled(api)
    status = {
        "registered_model_name": "wine",
        "state": "ENDPOINT_STATE_READY",
        "state_message": "",
        "compute_config": [compute("Production"), compute("Staging")],
    }
    assert timeless(await get(api, f"{V2}/get-status", WINE)) == {"endpoint_status": status}
    assert timeless(await get(api, f"{V2}/list")) == {"endpoint_statuses": [status]}
    versions = [
        {
            "registered_model_name": "wine",
            "endpoint_version_name": version,
            "service_status": {"state": "SERVICE_STATE_READY", "message": "", "config": compute(stage)},
            "config_update_status": None,
        }
        for version, stage in (("1", "Production"), ("2", "Staging"))
    ]
    assert timeless(await get(api, f"{V2}/list-versions", WINE)) == {"endpoint_statuses": versions}
    assert timeless(await get(api, f"{V2}/get-version-status", OF_1)) == {"endpoint_status": versions[0]}
    assert await get(api, f"{V2}/list-version-aliases", WINE) == {
        "aliases": [
            {"alias": "Production", "endpoint_version_name": "1"},
            {"alias": "Staging", "endpoint_version_name": "2"},
        ]
    }
    times = (await get(api, f"{V2}/get-status", WINE))["endpoint_status"]["compute_config"]
    assert all(type(config["creation_timestamp"]) is int for config in times)


async def test_a_version_of_its_own_has_no_stage(api: Api) -> None:
    await enabled(api)
    move(api.house, "3", "Production")
    await api.rest()
    status = timeless(await get(api, f"{V2}/get-version-status", OF_1))["endpoint_status"]
    expected = compute("", zero=True)
    del expected["stage"]
    assert status["service_status"]["config"] == expected


@pytest.mark.parametrize(
    "spec",
    [
        {"workload_size_id": "Medium", "scale_to_zero_enabled": True},
        {"workload_size_id": "Medium", "scale_to_zero_enabled": "true"},
    ],
)
async def test_a_change_of_compute_is_shown_on_its_way_and_when_it_is_done(api: Api, spec: dict[str, Any]) -> None:
    await enabled(api)
    api.house.engine.away = True
    body = {**WINE, "stage": "Production", "desired_workload_config_spec": spec}
    answer = await api.http.put(f"{V2}/update-compute-config", json=body)
    assert (answer.status_code, answer.json()) == (200, {})
    status = timeless(await get(api, f"{V2}/get-version-status", OF_1))["endpoint_status"]
    wanted = compute("Production", "Medium", zero=True, version=1)
    assert status["service_status"]["config"] == compute("Production")
    assert status["config_update_status"]["state"] == "SERVICE_STATE_PENDING"
    assert status["config_update_status"]["config"] == wanted
    api.house.engine.away = False
    await api.rest()
    status = timeless(await get(api, f"{V2}/get-version-status", OF_1))["endpoint_status"]
    assert (status["service_status"]["config"], status["config_update_status"]) == (wanted, None)
    model = timeless(await get(api, f"{V2}/get-status", WINE))["endpoint_status"]
    assert model["compute_config"] == [wanted, compute("Staging")]


async def test_a_change_that_failed_is_shown_and_tried_again(api: Api) -> None:
    await enabled(api)
    api.house.engine.broken["wine-Production"] = "There is no room."
    spec = {"workload_size_id": "Large", "scale_to_zero_enabled": False}
    await api.http.put(
        f"{V2}/update-compute-config", json={**WINE, "stage": "Production", "desired_workload_config_spec": spec}
    )
    await api.rest()
    status = timeless(await get(api, f"{V2}/get-version-status", OF_1))["endpoint_status"]
    assert status["service_status"]["state"] == "SERVICE_STATE_READY"
    assert status["config_update_status"] == {
        "state": "SERVICE_STATE_FAILED",
        "message": "There is no room.",
        "config": compute("Production", "Large", version=1),
    }
    model = timeless(await get(api, f"{V2}/get-status", WINE))["endpoint_status"]
    assert model["compute_config"] == [compute("Production"), compute("Staging")]
    api.house.engine.broken.clear()
    answer = await api.http.post(f"{V2}/restart-compute-config-update", json=OF_1)
    assert (answer.status_code, answer.json()) == (200, {})
    await api.rest()
    status = timeless(await get(api, f"{V2}/get-version-status", OF_1))["endpoint_status"]
    assert status["service_status"]["config"] == compute("Production", "Large", version=1)


async def test_the_sizes(api: Api) -> None:
    assert await get(api, f"{V2}/get-supported-workload-sizes") == {
        "workload_sizes": [
            {"key": "Small", "min_concurrency": 4, "max_concurrency": 4},
            {"key": "Medium", "min_concurrency": 8, "max_concurrency": 16},
            {"key": "Large", "min_concurrency": 16, "max_concurrency": 64},
        ]
    }


async def test_replicas_and_logs(api: Api) -> None:
    await enabled(api)
    (replica,) = (await get(api, f"{V2}/get-version-replicas", OF_1))["version_replicas"]
    assert replica["last_known_status"] == "RUNNING"
    assert replica["replica_name"] == f"wine-Production-{replica['replica_id']}"
    for more in ({}, {"replica_id": replica["replica_id"]}):
        answer = await api.http.post(f"{V2}/get-version-logs", json={**OF_1, **more})
        assert (answer.status_code, answer.json()) == (200, {"logs": ""})
    answer = await api.http.post(f"{V2}/get-version-logs", json={**OF_1, "replica_id": "no"})
    assert is_error(answer, 404, "RESOURCE_DOES_NOT_EXIST") == "Unable to retrieve logs for this replica."
    answer = await api.http.post(f"{V2}/get-version-build-logs", json=OF_1)
    assert "Building for" in answer.json()["logs"]


async def test_the_last_hour_minute_by_minute(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await enabled(api)
    now = api.house.clock.now()
    know(api, monkeypatch, {"serverless-wine-production": [a_minute(now - 4000), a_minute(now - 120)]})
    answer = await get(api, f"{V2}/get-version-metrics", OF_1)
    assert answer == {
        "bucket_interval_ms": 60000,
        "data": [
            {
                "timestamp": round((now - 120) * 1000),
                "minLatency": 1.0,
                "p50Latency": 2.0,
                "p75Latency": 3.0,
                "p90Latency": 4.0,
                "p95Latency": 5.0,
                "p99Latency": 6.0,
                "maxLatency": 7.0,
                "requestRate": 1.0,
                "errorRate4XX": 0.1,
                "errorRate5XX": 0.05,
                "avgCpuUsage": 25.0,
                "avgMemUsage": 100 * 400_000_000 / MEMORY_LIMIT,
                "numConcurrency": 4.0,
            }
        ],
    }
    window = {"start_timestamp": str(round((now - 5000) * 1000)), "end_timestamp": round((now - 3000) * 1000)}
    older = await get(api, f"{V2}/get-version-metrics", {**OF_1, **window})
    assert [point["timestamp"] for point in older["data"]] == [round((now - 4000) * 1000)]


async def test_what_happened(api: Api) -> None:
    await enabled(api)
    events = (await get(api, f"{V2}/get-event-history", WINE))["events"]
    assert {event["type"] for event in events} == {
        "MODEL_SERVING_EVENT",
        "MODEL_SERVICE_EVENT",
        "MODEL_VERSION_SERVING_EVENT",
    }
    assert all(event.keys() == {"timestamp", "type", "endpoint_version_name", "stage", "message"} for event in events)
    assert [event["timestamp"] for event in events] == sorted(event["timestamp"] for event in events)


async def test_off_again(api: Api) -> None:
    await enabled(api)
    answer = await api.http.post(f"{V2}/disable", json=WINE)
    assert (answer.status_code, answer.json()) == (200, {})
    assert await get(api, f"{V2}/list") == {"endpoint_statuses": []}
    assert (await get(api, "/api/2.0/serving-endpoints"))["endpoints"] == []


# --- classic model serving


async def test_the_classic_statuses(api: Api) -> None:
    await api.http.post(f"{V1}/enable", json={**WINE, "experiment_id": "0"})
    await api.rest()
    status = {
        "registered_model_name": "wine",
        "state": "ENDPOINT_STATE_READY",
        "state_message": "",
        "actual_cluster_config": {"node_type_id": "local", "tags": []},
        "serving_version": "V1",
    }
    assert await get(api, f"{V1}/get-status", WINE) == {"endpoint_status": status}
    assert await get(api, f"{V1}/list") == {"endpoints": [status]}
    assert await get(api, f"{V1}/list-versions", WINE) == {
        "endpoint_versions": [
            {
                "registered_model_name": "wine",
                "endpoint_version_name": version,
                "state": "VERSION_STATE_READY",
                "state_message": "",
            }
            for version in "123"
        ]
    }
    assert await get(api, f"{V1}/list-version-aliases", WINE) == {"aliases": []}
    answer = await api.http.post(f"{V1}/disable", json=WINE)
    assert (answer.status_code, await get(api, f"{V1}/list")) == (200, {"endpoints": []})


async def test_the_classic_states_of_a_version(api: Api) -> None:
    api.house.engine.broken["wine-2"] = "It does not load."
    api.house.builder.gate.clear()
    await api.http.post(f"{V1}/enable", json=WINE)
    await api.house.follower.run_once()
    versions = (await get(api, f"{V1}/list-versions", WINE))["endpoint_versions"]
    assert {version["state"] for version in versions} == {"VERSION_STATE_PENDING"}
    api.house.builder.gate.set()
    await api.rest()
    versions = (await get(api, f"{V1}/list-versions", WINE))["endpoint_versions"]
    assert [(version["state"], version["state_message"]) for version in versions] == [
        ("VERSION_STATE_READY", ""),
        ("VERSION_STATE_FAILED", "It does not load."),
        ("VERSION_STATE_READY", ""),
    ]


async def test_the_classic_cluster_is_accepted_and_returned(api: Api) -> None:
    await enabled(api, V1)
    wanted = {"node_type_id": "m5.large", "tags": [{"key": "team", "value": "cellar"}], "num_workers": 1}
    answer = await api.http.put(f"{V1}/update-cluster-config", json={**WINE, "desired_cluster_config": wanted})
    assert (answer.status_code, answer.json()) == (200, {})
    config = (await get(api, f"{V1}/get-status", WINE))["endpoint_status"]["actual_cluster_config"]
    assert config == {"node_type_id": "m5.large", "tags": [{"key": "team", "value": "cellar"}]}


async def test_the_classic_logs_events_and_metrics(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await enabled(api, V1)
    answer = await api.http.post(f"{V1}/get-version-logs", json=OF_1)
    assert (answer.status_code, answer.json()) == (200, {"logs": ""})
    events = (await get(api, f"{V1}/get-event-history", WINE))["events"]
    assert {event["event_type"] for event in events} == {"ENDPOINT_UPDATED", "MODEL_UPDATE", "VERSION_UPDATE"}
    assert {event["internal"] for event in events} == {False}
    now = api.house.clock.now()
    names = ("classic-wine-production", "classic-wine-staging")
    know(api, monkeypatch, {name: [a_minute(now - 60)] for name in names})
    assert await get(api, f"{V1}/get-metric-history", WINE) == {
        "metrics": [
            {"key": "successes", "value": 102, "timestamp": round((now - 60) * 1000)},
            {"key": "failures", "value": 18, "timestamp": round((now - 60) * 1000)},
        ]
    }


# --- both: how they are called


@pytest.mark.parametrize("prefix", [V2, V2.replace("preview/", ""), V1, V1.replace("preview/", "")])
async def test_parameters_come_in_the_query_or_in_the_body_and_paths_may_end_with_a_slash(
    api: Api, prefix: str
) -> None:
    await enabled(api, prefix)
    by_query = await api.http.get(f"{prefix}/get-status/", params=WINE)
    by_body = await api.http.request("GET", f"{prefix}/get-status", json=WINE)
    plain = await api.http.request("GET", f"{prefix}/get-status", content=b'{"registered_model_name": "wine"}')
    assert by_query.json() == by_body.json() == plain.json()
    assert by_query.json()["endpoint_status"]["registered_model_name"] == "wine"


async def test_numbers_may_be_numbers(api: Api) -> None:
    await enabled(api)
    answer = await get(api, f"{V2}/get-version-status", {**WINE, "endpoint_version_name": 1})
    assert answer["endpoint_status"]["endpoint_version_name"] == "1"


async def test_a_model_with_a_strange_name(api: Api) -> None:
    name = "Rosé & co/2"
    api.house.registry.add(name, "1").stage = "Production"
    await api.http.post(f"{V2}/enable", json={"registered_model_name": name})
    await api.rest()
    answer = await api.http.get(f"{V2}/get-status", params={"registered_model_name": name})
    assert answer.json()["endpoint_status"]["state"] == "ENDPOINT_STATE_READY"


@pytest.mark.parametrize("call", ["get-status", "list-versions", "list-version-aliases", "get-event-history"])
async def test_where_it_is_not_enabled_each_product_says_so_in_its_way(api: Api, call: str) -> None:
    answer = await api.http.get(f"{V2}/{call}", params=WINE)
    assert "not enabled for model 'wine'" in is_error(answer, 404, "RESOURCE_DOES_NOT_EXIST")
    answer = await api.http.get(f"{V1}/{call}", params=WINE)
    assert "not enabled for model 'wine'" in is_error(answer, 400, "INVALID_PARAMETER_VALUE")


async def test_a_model_that_is_not_there_cannot_be_enabled(api: Api) -> None:
    for prefix in (V1, V2):
        answer = await api.http.post(f"{prefix}/enable", json={"registered_model_name": "tea"})
        assert "no model 'tea'" in is_error(answer, 404, "RESOURCE_DOES_NOT_EXIST")


async def test_what_is_missing_or_wrong_is_named(api: Api) -> None:
    await enabled(api)

    async def put(**more: object) -> httpx.Response:
        return await api.http.put(f"{V2}/update-compute-config", json={**WINE, **more})

    answer = await api.http.post(f"{V2}/enable", json={})
    assert "registered_model_name is missing" in is_error(answer, 400, "INVALID_PARAMETER_VALUE")
    answer = await api.http.post(f"{V2}/enable")
    assert "registered_model_name is missing" in is_error(answer, 400, "INVALID_PARAMETER_VALUE")
    for content in (b"{", b"[1]"):
        is_error(await api.http.post(f"{V2}/enable", content=content), 400, "BAD_REQUEST")
    answer = await put(stage="Production", desired_workload_config_spec={"workload_size_id": "Huge"})
    assert "Small, Medium, Large" in is_error(answer, 400, "INVALID_PARAMETER_VALUE")
    answer = await put(stage="Production", desired_workload_config_spec={"scale_to_zero_enabled": "perhaps"})
    assert "scale_to_zero_enabled" in is_error(answer, 400, "INVALID_PARAMETER_VALUE")
    answer = await api.http.get(f"{V2}/get-version-status", params={**WINE, "endpoint_version_name": "9"})
    assert "served are 1, 2" in is_error(answer, 404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize("path", [f"{V1}/get-metric-history", f"{V2}/get-version-metrics"])
@pytest.mark.parametrize("time", ["start_timestamp", "end_timestamp"])
async def test_a_time_beyond_all_times_is_named(api: Api, path: str, time: str) -> None:
    await enabled(api, path.rpartition("/")[0])
    for value in (10**400, -(10**400), 10**15):
        answer = await api.http.request("GET", path, json={**OF_1, time: value})
        assert f"{time}: input should be" in is_error(answer, 400, "INVALID_PARAMETER_VALUE")
    answer = await api.http.request("GET", path, json={**OF_1, time: 253_402_300_799_999})
    assert answer.status_code == 200


@pytest.mark.parametrize("prefix", [V1, V2])
async def test_a_body_that_is_nested_too_deeply_is_named(api: Api, prefix: str) -> None:
    body = b'{"registered_model_name": "wine", "more": %s}' % DEEP
    answer = await api.http.post(f"{prefix}/enable", content=body)
    assert is_error(answer, 400, "BAD_REQUEST") == "The body is nested too deeply."


async def test_a_cluster_that_is_nested_too_deeply_in_a_string_is_named(api: Api) -> None:
    await enabled(api, V1)
    body = {**WINE, "desired_cluster_config": DEEP.decode()}
    answer = await api.http.put(f"{V1}/update-cluster-config", json=body)
    assert is_error(answer, 400, "BAD_REQUEST") == "The body is nested too deeply."


async def test_a_cluster_with_half_a_surrogate_pair_is_refused(api: Api) -> None:
    await enabled(api, V1)
    cluster = {"node_type_id": "m5", "tags": [{"key": "team", "value": HALF_A_PAIR}]}
    body = json.dumps({**WINE, "desired_cluster_config": cluster}).encode()
    answer = await api.http.put(f"{V1}/update-cluster-config", content=body)
    assert "tags[0].value: value error, half of" in is_error(answer, 400, "INVALID_PARAMETER_VALUE")
    assert await get(api, f"{V1}/list")


async def test_other_apis_show_its_endpoints_and_leave_them_to_it(api: Api) -> None:
    await enabled(api)
    url = "/api/2.0/serving-endpoints"
    listed = (await get(api, url))["endpoints"]
    assert [endpoint["name"] for endpoint in listed] == ["serverless-wine-production", "serverless-wine-staging"]
    answer = await api.http.delete(f"{url}/serverless-wine-staging")
    assert "disable the serving" in is_error(answer, 409, "RESOURCE_CONFLICT")
    body = {"served_entities": [{"entity_name": "wine", "entity_version": "3"}]}
    answer = await api.http.put(f"{url}/serverless-wine-staging/config", json=body)
    assert "update-compute-config" in is_error(answer, 409, "RESOURCE_CONFLICT")
