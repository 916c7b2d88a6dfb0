"""The wire itself: leniency, exact shapes, and errors in one shape."""

import json
from typing import Any

import httpx
import pytest

from tests.api.conftest import Api, by_gateway
from tidegate.api.middleware import TOO_DEEP
from tidegate.api.rest_api import create_app
from tidegate.core.errors import Unavailable
from tidegate.public_url import parse

URL = "/api/2.0/serving-endpoints"

NOT_A_NUMBER = b"""{"name": "w", "config": {"served_entities": [
    {"entity_name": "wine", "entity_version": "1", "idle_timeout_seconds": NaN}]}}"""

DEEP = b"[" * 100_000 + b"]" * 100_000
HALF_A_PAIR = "\ud800"


def a_body(**entity: Any) -> dict[str, Any]:
    fields = {"entity_name": "wine", "entity_version": "1", **entity}
    return {"name": "wine", "config": {"served_entities": [fields]}}


def is_error(response: httpx.Response, status: int, code: str) -> str:
    """The sentence of an error in the house shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error_code", "message"}
    assert body["error_code"] == code
    assert "Unexpected error" not in body["message"]
    return str(body["message"])


async def test_a_created_endpoint_in_full(api: Api) -> None:
    api.house.builder.gate.clear()
    entity = {"batching": "off", "idle_timeout_seconds": 60, "timeout_seconds": 5, "retry_on_crash": False}
    answer = (await api.http.post(URL, json=a_body(environment_vars={"A": "b"}, **entity))).json()
    assert answer["name"] == "wine"
    assert answer["state"] == {
        "ready": "NOT_READY",
        "config_update": "IN_PROGRESS",
        "update_state": "IN_PROGRESS",
        "message": "Waiting to be prepared.",
        "replicas": 0,
    }
    assert answer["creation_timestamp"] == answer["last_updated_timestamp"] == 1_700_000_000_000
    assert "config" not in answer
    pending = answer["pending_config"]
    assert (pending["config_version"], pending["start_time"]) == (1, 1_700_000_000_000)
    (served,) = pending["served_entities"]
    assert entity.items() <= served.items()
    assert served["environment_vars"] == {"A": "b"}
    assert served["state"]["deployment"] == "DEPLOYMENT_CREATING"
    (twin,) = pending["served_models"]
    assert (twin["model_name"], twin["model_version"], twin["name"]) == ("wine", "1", "wine-1")
    assert pending["traffic_config"]["routes"] == [
        {"served_entity_name": "wine-1", "served_model_name": "wine-1", "traffic_percentage": 100}
    ]


async def test_a_ready_entity_tells_how_it_serves(api: Api) -> None:
    path: dict[str, object] = {"mode": "compiled", "input": "ndarray", "reason": ""}
    batching: dict[str, object] = {"mode": "proved", "reason": "", "exact": True}
    api.house.engine.serving = {"path": path, "batching": batching}
    await api.ready()
    (served,) = (await api.http.get(f"{URL}/wine")).json()["config"]["served_entities"]
    assert served["state"] == {
        "deployment": "DEPLOYMENT_READY",
        "deployment_state_message": "",
        "path": path,
        "batching": batching,
    }
    assert served["batching"] == "auto"


async def test_paths_with_and_without_a_slash_are_the_same(api: Api) -> None:
    assert (await api.http.post(f"{URL}/", json=a_body())).status_code == 200
    for path in (URL, f"{URL}/"):
        assert [e["name"] for e in (await api.http.get(path)).json()["endpoints"]] == ["wine"]
    assert (await api.http.get(f"{URL}/wine/")).json()["name"] == "wine"
    deleted = await api.http.delete(f"{URL}/wine/")
    assert (deleted.status_code, deleted.json()) == (200, {})


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded", "text/plain"])
async def test_a_body_is_json_whatever_its_content_type(api: Api, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    body = b'{"name": "wine", "config": {"served_entities": [{"entity_name": "wine", "entity_version": 1}]}}'
    assert (await api.http.post(URL, content=body, headers=headers)).status_code == 200


async def test_strings_are_taken_for_numbers_and_booleans(api: Api) -> None:
    body = a_body(name="a", scale_to_zero_enabled="true", idle_timeout_seconds="90", unknown={"x": 1})
    body["config"]["traffic_config"] = {"routes": [{"served_model_name": "a", "traffic_percentage": "100"}]}
    body |= {"rate_limits": [], "ai_gateway": None, "email_notifications": {}, "tags": None, "later": 1}
    answer = (await api.http.post(URL, json=body)).json()
    (served,) = answer["pending_config"]["served_entities"]
    assert served["scale_to_zero_enabled"] is True
    assert served["idle_timeout_seconds"] == 90.0


async def test_an_alias_stays_an_alias_and_tells_what_it_means(api: Api) -> None:
    api.house.registry.models["wine"].aliases["champion"] = "2"
    answer = (await api.http.post(URL, json=a_body(entity_version="@champion"))).json()
    (served,) = answer["pending_config"]["served_entities"]
    assert (served["name"], served["entity_version"], served["resolved_version"]) == ("wine-champion", "@champion", "2")
    assert served["pointer"] == "followed"
    await api.settled()
    del api.house.registry.models["wine"].aliases["champion"]
    await api.house.follower.run_once()
    (served,) = (await api.http.get(f"{URL}/wine")).json()["config"]["served_entities"]
    assert served["pointer"] == "lost"


async def test_an_alias_whose_version_was_rolled_back_says_so(api: Api) -> None:
    aliases = api.house.registry.models["wine"].aliases
    aliases["champion"] = "1"
    await api.http.post(URL, json=a_body(entity_version="@champion"))
    await api.settled()
    aliases["champion"] = "2"
    await api.house.follower.run_once()
    await api.settled()
    await api.http.post("/api/tidegate/v1/endpoints/wine/rollback")
    await api.settled()
    (served,) = (await api.http.get(f"{URL}/wine")).json()["config"]["served_entities"]
    assert (served["resolved_version"], served["pointer"]) == ("1", "rolled_back")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"entity_version": None}, "served_entities[0].entity_version is missing"),
        ({"entity_name": None}, "served_entities[0].entity_name is missing"),
        ({"workload_size": "Huge"}, "workload_size"),
        ({"workload_type": "GPU_SMALL"}, "GPUs are not supported yet"),
        ({"external_model": {"name": "gpt"}}, "external_model is not supported yet"),
        ({"environment_vars": {"A": "{{secrets/s/k}}"}}, "secrets are not supported yet"),
        ({"environment_vars": ["secret-value"]}, "config.served_entities[0].environment_vars"),
        ({"scale_to_zero_enabled": "secret-value"}, "config.served_entities[0].scale_to_zero_enabled"),
        ({"batching": "secret-value"}, "config.served_entities[0].batching"),
        ({"timeout_seconds": 90}, "timeout_seconds must be over 0 and at most 60"),
    ],
)
async def test_a_bad_field_is_named_and_its_value_is_not_told(api: Api, change: dict[str, Any], says: str) -> None:
    message = is_error(await api.http.post(URL, json=a_body(**change)), 400, "INVALID_PARAMETER_VALUE")
    assert says in message
    assert "secret-value" not in message


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "INVALID_PARAMETER_VALUE"),
        (b"[]", "INVALID_PARAMETER_VALUE"),
        (b'{"name": "wine"}', "INVALID_PARAMETER_VALUE"),
        (b'{"name": "wine", "config": {}}', "INVALID_PARAMETER_VALUE"),
        (b'{"name": "wine', "BAD_REQUEST"),
        (b"\xff\xfe", "BAD_REQUEST"),
        (b'{"name": "\\ud800", "config": {"served_entities": []}}', "INVALID_PARAMETER_VALUE"),
        (NOT_A_NUMBER, "INVALID_PARAMETER_VALUE"),
    ],
)
async def test_a_bad_body_is_refused(api: Api, content: bytes, code: str) -> None:
    is_error(await api.http.post(URL, content=content), 400, code)


async def test_paths_and_methods_that_are_not_there(api: Api) -> None:
    is_error(await api.http.get("/api/2.0/nothing"), 404, "RESOURCE_DOES_NOT_EXIST")
    is_error(await api.http.post(f"{URL}/wine"), 405, "BAD_REQUEST")
    is_error(await api.http.get(f"{URL}/nobody"), 404, "RESOURCE_DOES_NOT_EXIST")
    is_error(await api.http.get(f"{URL}/nobody/metrics"), 404, "RESOURCE_DOES_NOT_EXIST")


async def test_a_method_that_is_not_there_gets_those_that_are(api: Api) -> None:
    for method, path, allow in (
        ("POST", f"{URL}/wine", "DELETE, GET"),
        ("DELETE", URL, "GET, POST"),
        ("GET", f"{URL}/wine/config", "PUT"),
        ("PUT", "/api/tidegate/v1/endpoints/wine/gate", "GET, PATCH"),
    ):
        answer = await api.http.request(method, path)
        is_error(answer, 405, "BAD_REQUEST")
        assert answer.headers["allow"] == allow


@pytest.mark.parametrize("coding", ["gzip", "br"])
async def test_a_compressed_body_is_refused_by_its_coding(api: Api, coding: str) -> None:
    answer = await api.http.post(URL, content=b"{}", headers={"content-encoding": coding})
    assert "Content-Encoding" in is_error(answer, 415, "INVALID_PARAMETER_VALUE")


async def test_a_defect_is_answered_in_the_house_shape_and_logged(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise RuntimeError("secret-value")

    monkeypatch.setattr(api.house.store, "endpoints", broken)
    await api.house.control.reconciling.stop()
    assert "secret-value" not in is_error(await api.http.get(URL), 500, "INTERNAL_ERROR")
    assert "RuntimeError: secret-value" in caplog.text


async def test_a_store_that_is_away_is_503(api: Api) -> None:
    api.house.store.failure = Unavailable("The store is away.", retry_after=1)
    response = await api.http.get(URL)
    is_error(response, 503, "TEMPORARILY_UNAVAILABLE")
    assert response.headers["retry-after"] == "1"


async def test_parameters_of_a_get_come_from_the_query_or_the_body(api: Api) -> None:
    await api.ready()
    path = f"{URL}/wine/served-models/wine-1/build-logs"
    assert "Prepared." in (await api.http.get(path)).json()["logs"]
    assert "Prepared." in (await api.http.request("GET", path, json={"config_version": 1})).json()["logs"]
    is_error(await api.http.get(path, params={"config_version": 2}), 404, "RESOURCE_DOES_NOT_EXIST")
    is_error(await api.http.request("GET", path, json={"config_version": 2}), 404, "RESOURCE_DOES_NOT_EXIST")
    is_error(await api.http.get(path, params={"config_version": "x"}), 400, "INVALID_PARAMETER_VALUE")


async def test_a_failed_configuration_is_shown_beside_the_one_that_serves(api: Api) -> None:
    await api.ready()
    api.house.engine.broken["wine-2"] = "It does not load."
    change = {"served_models": [{"model_name": "wine", "model_version": "2"}]}
    assert (await api.http.put(f"{URL}/wine/config", json=change)).status_code == 200
    await api.settled()
    answer = (await api.http.get(f"{URL}/wine")).json()
    assert answer["state"] == {
        "ready": "READY",
        "config_update": "UPDATE_FAILED",
        "update_state": "UPDATE_FAILED",
        "message": "It does not load.",
        "replicas": 1,
    }
    assert answer["config"]["config_version"] == 1
    assert "pending_config" not in answer
    assert answer["failed_config"]["config_version"] == 2
    (failed,) = answer["failed_config"]["served_entities"]
    assert failed["state"] == {"deployment": "DEPLOYMENT_FAILED", "deployment_state_message": "It does not load."}


async def test_events_metrics_and_the_apis_own_description(api: Api) -> None:
    await api.ready()
    events = (await api.http.get("/api/tidegate/v1/endpoints/wine/events")).json()["events"]
    assert events[0] == {"timestamp": 1_700_000_000_000, "type": "created", "message": "Endpoint 'wine' was created."}
    metrics = await api.http.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'tidegate_endpoint_ready{endpoint="wine"} 1.0' in metrics.text
    document = (await api.http.get("/api/openapi.json")).json()
    assert f"{URL}/{{name}}/config" in document["paths"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", URL),
        ("PUT", f"{URL}/wine/config"),
        ("PATCH", f"{URL}/wine/tags"),
        ("PATCH", "/api/tidegate/v1/endpoints/wine/gate"),
    ],
)
async def test_a_body_that_is_nested_too_deeply_is_named(api: Api, method: str, path: str) -> None:
    answer = await api.http.request(method, path, content=b'{"config": %s}' % DEEP)
    assert is_error(answer, 400, "BAD_REQUEST") == "The body is nested too deeply."


@pytest.mark.parametrize("depth", [150, 300, 450, 600, 750, 900])
async def test_what_is_not_supported_may_be_nested_as_deeply_as_can_be_read(api: Api, depth: int) -> None:
    nested = b"[" * depth + b"1" + b"]" * depth
    answer = await api.http.post(URL, content=b'{"name": "wine", "config": {}, "rate_limits": %s}' % nested)
    assert answer.status_code == 400
    assert answer.json()["message"] in ("rate_limits is not supported yet. Leave it out.", TOO_DEEP)
    assert depth > 700 or answer.json()["message"] != TOO_DEEP


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", URL, {**a_body(), "description": HALF_A_PAIR}),
        ("POST", URL, a_body(environment_vars={"A": HALF_A_PAIR})),
        ("PATCH", f"{URL}/tea/tags", {"add_tags": [{"key": "k", "value": HALF_A_PAIR}]}),
        ("PATCH", f"{URL}/tea/tags", {"delete_tags": [HALF_A_PAIR]}),
    ],
)
async def test_half_a_surrogate_pair_is_refused_and_the_list_stays_readable(
    api: Api, method: str, path: str, body: dict[str, Any]
) -> None:
    await api.ready("tea")
    answer = await api.http.request(method, path, content=json.dumps(body).encode())
    assert "half of a surrogate pair is no text" in is_error(answer, 400, "INVALID_PARAMETER_VALUE")
    assert [one["name"] for one in (await api.http.get(URL)).json()["endpoints"]] == ["tea"]


async def test_urls_are_those_of_the_host_that_a_caller_names_or_of_the_setting(api: Api) -> None:
    await api.ready()
    path = "/serving-endpoints/wine/invocations"
    forwarded = {"x-forwarded-host": "models.example.org:8443"}
    assert (await api.http.get(f"{URL}/wine")).json()["endpoint_url"] == f"{api.url}{path}"
    there = await api.http.get(f"{URL}/wine", headers=forwarded)
    assert there.json()["endpoint_url"] == f"http://models.example.org:8443{path}"
    assert (await api.http.get(f"{URL}/wine/openapi")).json()["servers"] == [{"url": "/"}]
    house = api.house
    public = parse("https://example.org/ml")
    app = create_app(*house.faces, public=public)
    async with httpx.AsyncClient(base_url="http://x", transport=httpx.ASGITransport(by_gateway(app))) as client:
        said = await client.get(f"{URL}/wine", headers=forwarded)
        assert said.json()["endpoint_url"] == f"https://example.org/ml{path}"
        assert (await client.get(f"{URL}/wine/openapi")).json()["servers"] == [{"url": "/ml"}]
        assert (await client.get("/api/openapi.json")).json()["servers"] == [{"url": "/ml"}]
