"""The unmodified databricks-sdk and mlflow deployments client, through every call that they have for this API."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

import mlflow.deployments
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    AlreadyExists,
    InvalidParameterValue,
    NotFound,
    OperationFailed,
    ResourceConflict,
    ResourceDoesNotExist,
)
from databricks.sdk.service.serving import (
    EndpointCoreConfigInput,
    EndpointStateConfigUpdate,
    EndpointStateReady,
    EndpointTag,
    RateLimit,
    RateLimitRenewalPeriod,
    Route,
    ServedEntityInput,
    ServedModelInput,
    ServedModelStateDeployment,
    TrafficConfig,
)
from requests import HTTPError

from tests.api.conftest import Api
from tests.control.house import NO_BUILD

T = TypeVar("T")

# Third-party code that leaves a socket to the garbage collector is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


async def sdk(api: Api, call: Callable[[WorkspaceClient], T]) -> T:
    """Call the SDK in a thread: it blocks."""
    return await asyncio.to_thread(lambda: call(WorkspaceClient(host=api.url, token="secret")))


async def mlflow_client(api: Api, monkeypatch: pytest.MonkeyPatch, call: Callable[[Any], T]) -> T:
    monkeypatch.setenv("DATABRICKS_HOST", api.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "secret")
    return await asyncio.to_thread(lambda: call(mlflow.deployments.get_deploy_client("databricks")))


def an_input(version: str = "1", **fields: Any) -> ServedEntityInput:
    return ServedEntityInput(entity_name="wine", entity_version=version, scale_to_zero_enabled=True, **fields)


def a_config(*entities: ServedEntityInput) -> EndpointCoreConfigInput:
    return EndpointCoreConfigInput(name="wine", served_entities=list(entities or (an_input(),)))


async def test_sdk_from_creation_to_deletion(api: Api) -> None:
    endpoint = await sdk(
        api,
        lambda client: client.serving_endpoints.create_and_wait(
            "wine", config=a_config(an_input(workload_size="Small")), tags=[EndpointTag("team", "cellar")]
        ),
    )
    assert endpoint.state is not None
    assert endpoint.state.ready is EndpointStateReady.READY
    assert endpoint.state.config_update is EndpointStateConfigUpdate.NOT_UPDATING
    assert endpoint.config is not None
    assert endpoint.config.config_version == 1
    assert endpoint.pending_config is None
    assert endpoint.permission_level is not None
    assert endpoint.permission_level.value == "CAN_MANAGE"
    assert endpoint.endpoint_url == f"{api.url}/serving-endpoints/wine/invocations"
    assert len(endpoint.id or "") == 32
    (entity,) = endpoint.config.served_entities or []
    assert (entity.name, entity.entity_name, entity.entity_version) == ("wine-1", "wine", "1")
    assert entity.state is not None
    assert entity.state.deployment is ServedModelStateDeployment.DEPLOYMENT_READY

    updated = await sdk(
        api,
        lambda client: client.serving_endpoints.update_config_and_wait(
            "wine",
            served_entities=[an_input("1", name="a"), an_input("2", name="b")],
            traffic_config=TrafficConfig(routes=[Route(90, served_entity_name="a"), Route(10, served_model_name="b")]),
        ),
    )
    assert updated.config is not None
    assert updated.config.config_version == 2
    assert updated.config.traffic_config is not None
    assert [route.traffic_percentage for route in updated.config.traffic_config.routes or []] == [90, 10]

    (listed,) = await sdk(api, lambda client: list(client.serving_endpoints.list()))
    assert listed.config is not None
    assert [entity.name for entity in listed.config.served_entities or []] == ["a", "b"]
    tags = await sdk(
        api,
        lambda client: client.serving_endpoints.patch(
            "wine", add_tags=[EndpointTag("stage", "test")], delete_tags=["team"]
        ),
    )
    assert [(tag.key, tag.value) for tag in tags.tags or []] == [("stage", "test")]
    assert "Building for" in (await sdk(api, lambda client: client.serving_endpoints.build_logs("wine", "a"))).logs
    assert (await sdk(api, lambda client: client.serving_endpoints.logs("wine", "a"))).logs == ""
    document = await sdk(api, lambda client: client.serving_endpoints.get_open_api("wine").contents.read())
    assert "/serving-endpoints/wine/invocations" in json.loads(document)["paths"]
    metrics = await sdk(api, lambda client: client.serving_endpoints.export_metrics("wine").contents.read())
    assert b'request_count_total{endpoint="wine"} 0.0' in metrics

    await sdk(api, lambda client: client.serving_endpoints.delete("wine"))
    with pytest.raises(ResourceDoesNotExist, match="no endpoint 'wine'"):
        await sdk(api, lambda client: client.serving_endpoints.get("wine"))
    assert await sdk(api, lambda client: list(client.serving_endpoints.list())) == []


async def test_sdk_with_the_older_served_models(api: Api) -> None:
    model = ServedModelInput(scale_to_zero_enabled=False, model_name="wine", model_version="2", workload_size="Small")
    config = EndpointCoreConfigInput(name="wine", served_models=[model])
    endpoint = await sdk(api, lambda client: client.serving_endpoints.create_and_wait("wine", config=config))
    assert endpoint.config is not None
    (served,) = endpoint.config.served_models or []
    assert (served.model_name, served.model_version, served.name) == ("wine", "2", "wine-2")


async def test_sdk_is_told_why_an_update_failed(api: Api) -> None:
    await api.ready()
    api.house.builder.fault = NO_BUILD
    with pytest.raises(OperationFailed):
        await sdk(
            api,
            lambda client: client.serving_endpoints.update_config_and_wait("wine", served_entities=[an_input("2")]),
        )
    endpoint = await sdk(api, lambda client: client.serving_endpoints.get("wine"))
    assert endpoint.state is not None
    assert endpoint.state.ready is EndpointStateReady.READY
    assert endpoint.state.config_update is EndpointStateConfigUpdate.UPDATE_FAILED
    assert endpoint.config is not None
    assert endpoint.config.config_version == 1
    logs = await sdk(api, lambda client: client.serving_endpoints.build_logs("wine", "wine-2"))
    assert NO_BUILD.message in logs.logs


async def test_sdk_is_told_why_a_creation_failed(api: Api) -> None:
    api.house.builder.fault = NO_BUILD
    with pytest.raises(OperationFailed):
        await sdk(api, lambda client: client.serving_endpoints.create_and_wait("wine", config=a_config()))
    endpoint = await sdk(api, lambda client: client.serving_endpoints.get("wine"))
    assert endpoint.config is not None
    (entity,) = endpoint.config.served_entities or []
    assert entity.state is not None
    assert entity.state.deployment is ServedModelStateDeployment.DEPLOYMENT_FAILED
    assert entity.state.deployment_state_message == NO_BUILD.message


async def test_sdk_errors_have_their_classes(api: Api) -> None:
    with pytest.raises(NotFound, match="9 is not there"):
        await sdk(api, lambda client: client.serving_endpoints.create("wine", config=a_config(an_input("9"))))
    with pytest.raises(InvalidParameterValue, match="cannot name the endpoint"):
        await sdk(api, lambda client: client.serving_endpoints.create("no spaces", config=a_config()))
    limit = RateLimit(calls=1, renewal_period=RateLimitRenewalPeriod.MINUTE)
    with pytest.raises(InvalidParameterValue, match="rate_limits is not supported yet"):
        await sdk(api, lambda client: client.serving_endpoints.create("wine", config=a_config(), rate_limits=[limit]))
    api.house.builder.gate.clear()
    await sdk(api, lambda client: client.serving_endpoints.create("wine", config=a_config()).response)
    with pytest.raises(AlreadyExists):
        await sdk(api, lambda client: client.serving_endpoints.create("wine", config=a_config()))
    with pytest.raises(ResourceConflict, match=r"is being updated\. Wait until the update has ended"):
        await sdk(api, lambda client: client.serving_endpoints.update_config("wine", served_entities=[an_input("2")]))
    with pytest.raises(InvalidParameterValue, match="not supported yet"):
        await sdk(api, lambda client: client.serving_endpoints.put("wine", rate_limits=[limit]))
    with pytest.raises(InvalidParameterValue, match="not supported yet"):
        await sdk(api, lambda client: client.serving_endpoints.get_permissions("0" * 32))


async def test_mlflow_from_creation_to_deletion(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    entity = {"entity_name": "wine", "entity_version": "1", "workload_size": "Small", "scale_to_zero_enabled": True}
    config = {"served_entities": [{"name": "main", **entity}]}

    def create(client: Any) -> Any:
        return client.create_endpoint(config={"name": "wine", "config": config})

    created = await mlflow_client(api, monkeypatch, create)
    assert created["state"]["config_update"] == "IN_PROGRESS"
    await api.settled()
    got = await mlflow_client(api, monkeypatch, lambda client: client.get_endpoint("wine"))
    assert got["state"]["ready"] == "READY"
    assert [e["name"] for e in await mlflow_client(api, monkeypatch, lambda client: client.list_endpoints())] == [
        "wine"
    ]

    def update(client: Any) -> Any:
        changed = {"served_entities": [{"name": "main", **entity, "entity_version": "2"}]}
        return client.update_endpoint_config("wine", changed)

    updated = await mlflow_client(api, monkeypatch, update)
    assert updated["pending_config"]["config_version"] == 2
    assert updated["pending_config"]["start_time"] == 1_700_000_000_000
    await api.settled()
    await mlflow_client(api, monkeypatch, lambda client: client.delete_endpoint("wine"))
    with pytest.raises(HTTPError, match="no endpoint 'wine'") as refused:
        await mlflow_client(api, monkeypatch, lambda client: client.get_endpoint("wine"))
    assert refused.value.response is not None
    assert refused.value.response.status_code == 404
