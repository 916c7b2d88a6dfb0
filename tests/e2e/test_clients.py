"""The two unmodified clients go through every call that they have for endpoints."""

import html
import json
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, OperationFailed, ResourceConflict
from databricks.sdk.service.serving import EndpointCoreConfigInput, EndpointTag, Route, ServedEntityInput, TrafficConfig

from tests.e2e.conftest import Registered, register
from tests.e2e.running_platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def workspace(house: Platform) -> WorkspaceClient:
    return WorkspaceClient(host=house.url, token=house.token)


@pytest.fixture
def deployments(house: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("DATABRICKS_HOST", house.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", house.token)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.deployments import get_deploy_client

        yield get_deploy_client("databricks")


def config_of(served_entities: list[ServedEntityInput]) -> EndpointCoreConfigInput:
    return EndpointCoreConfigInput(name="ignored", served_entities=served_entities)


def entity(version: str, **more: Any) -> ServedEntityInput:
    return ServedEntityInput(
        entity_name="iris", entity_version=version, workload_size="Small", scale_to_zero_enabled=False, **more
    )


def test_databricks_sdk(house: Platform, iris: Registered, workspace: WorkspaceClient) -> None:
    calls = workspace.serving_endpoints
    created = calls.create_and_wait(name="by-sdk", config=config_of(served_entities=[entity("1")]))
    assert created.state is not None
    assert created.state.ready is not None
    assert created.state.ready.value == "READY"

    got = calls.get("by-sdk")
    assert got.config is not None
    assert got.config.served_entities is not None
    assert got.config.served_entities[0].entity_version == "1"
    assert got.config.config_version == 1
    assert got.pending_config is None
    assert "by-sdk" in [endpoint.name for endpoint in calls.list()]

    split = iris.request["dataframe_split"]
    answer = calls.query("by-sdk", dataframe_split=_split(split))
    assert answer.served_model_name == "iris-1"
    assert answer.predictions is not None
    assert len(answer.predictions) == len(split["data"])

    updated = calls.update_config_and_wait(
        "by-sdk",
        served_entities=[entity("1", name="old"), entity("2", name="new")],
        traffic_config=TrafficConfig(
            routes=[
                Route(served_entity_name="old", traffic_percentage=50),
                Route(served_entity_name="new", traffic_percentage=50),
            ]
        ),
    )
    assert updated.config is not None
    assert updated.config.config_version == 2
    served = {calls.query("by-sdk", dataframe_split=_split(split)).served_model_name for _ in range(40)}
    assert served == {"old", "new"}

    assert "Prepared" in calls.build_logs("by-sdk", "new").logs
    assert isinstance(calls.logs("by-sdk", "new").logs, str)
    document = calls.get_open_api("by-sdk").contents
    assert document is not None
    assert json.loads(document.read())["openapi"].startswith("3.1")
    exported = calls.export_metrics("by-sdk").contents
    assert exported is not None
    assert b"request_count_total" in exported.read()
    tags = calls.patch("by-sdk", add_tags=[EndpointTag(key="team", value="a"), EndpointTag(key="b", value="c")])
    assert tags.tags is not None
    assert {tag.key for tag in tags.tags} == {"team", "b"}
    tags = calls.patch("by-sdk", delete_tags=["b"])
    assert [tag.key for tag in tags.tags or []] == ["team"]

    calls.delete("by-sdk")
    with pytest.raises(NotFound):
        calls.get("by-sdk")


def test_databricks_sdk_hears_of_what_fails(house: Platform, iris: Registered, workspace: WorkspaceClient) -> None:
    calls = workspace.serving_endpoints
    with pytest.raises(NotFound, match="version 77"):
        calls.create(name="no-such", config=config_of(served_entities=[entity("77")]))
    with pytest.raises(ResourceConflict, match="iris"):
        calls.create(name="iris", config=config_of(served_entities=[entity("1")]))
    calls.create_and_wait(name="fails", config=config_of(served_entities=[entity("1")]))
    register(house, "no_such_package", "broken")
    with pytest.raises(OperationFailed):
        broken = ServedEntityInput(entity_name="broken", entity_version="1", name="broken", workload_size="Small")
        calls.update_config_and_wait("fails", served_entities=[broken])
    after = calls.get("fails")
    assert after.state is not None
    assert after.state.config_update is not None
    assert after.state.config_update.value == "UPDATE_FAILED"
    assert calls.query("fails", dataframe_split=_split(iris.request["dataframe_split"])).served_model_name == "iris-1"
    assert "tidegate-has-no-such-package" in calls.build_logs("fails", "broken").logs
    calls.delete("fails")


def test_mlflow_deployments(house: Platform, iris: Registered, deployments: Any) -> None:
    config = {"served_entities": [{"entity_name": "iris", "entity_version": "1", "workload_size": "Small"}]}
    deployments.create_endpoint(config={"name": "by-mlflow", "config": config})
    _wait(deployments, "by-mlflow")
    assert "by-mlflow" in [endpoint["name"] for endpoint in deployments.list_endpoints()]
    answer = deployments.predict(endpoint="by-mlflow", inputs=iris.request)
    assert len(answer["predictions"]) == len(iris.request["dataframe_split"]["data"])
    config["served_entities"][0]["entity_version"] = "2"
    deployments.update_endpoint_config("by-mlflow", config)
    _wait(deployments, "by-mlflow")
    assert deployments.get_endpoint("by-mlflow")["config"]["served_entities"][0]["entity_version"] == "2"
    deployments.delete_endpoint("by-mlflow")
    assert "by-mlflow" not in [endpoint["name"] for endpoint in deployments.list_endpoints()]


def _split(split: dict[str, Any]) -> Any:
    from databricks.sdk.service.serving import DataframeSplitInput

    return DataframeSplitInput(columns=split["columns"], data=split["data"])


def _wait(deployments: Any, name: str) -> None:
    deadline = time.monotonic() + 120
    while deployments.get_endpoint(name)["state"]["config_update"] == "IN_PROGRESS":
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("snippet", "program"),
    [("curl", "sh"), ("python", sys.executable), ("sdk", sys.executable)],
    ids=("curl", "python", "sdk"),
)
def test_a_snippet_of_the_query_page_is_answered_as_it_stands(
    house: Platform, iris: Registered, snippet: str, program: str
) -> None:
    with house.client() as client:
        page = client.get("/endpoints/iris/query").text
    (text,) = re.findall(rf'<pre id="snippet-{snippet}"[^>]*>(.*?)</pre>', page, re.DOTALL)
    environment = house.environ | {"TIDEGATE_TOKEN": house.token}
    option = ["-s"] if program == "sh" else ["-"]
    done = subprocess.run(
        [program, *option], input=html.unescape(text), env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    rows = len(iris.request["dataframe_split"]["data"])
    answered = json.loads(done.stdout)
    assert len(answered["predictions"] if snippet == "curl" else answered) == rows
    assert house.token not in page
