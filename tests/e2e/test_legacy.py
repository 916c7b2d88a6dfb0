"""Scripts as notebooks of 2022 had them, against the older products' APIs and URLs; and stages moved under load.

In `make test` each script ends after the first predictions; `make acceptance` has it whole.
"""

import contextlib
import json
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.e2e.conftest import register
from tests.e2e.load import Load
from tests.e2e.running_platform import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RATE = 40


class Notebook:
    """A user's own little wrapper around the API, with a personal access token."""

    def __init__(self, house: Platform, model: str, api: str, scoring: str) -> None:
        self.model, self._host = model, house.url
        self._api, self._scoring = api, scoring
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {house.token}"
        self._basic = ("token", house.token)

    def get(self, call: str, **parameters: Any) -> Any:
        """A GET with a JSON body; its status must be 200."""
        answer = self._call("GET", call, parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get_by_query(self, call: str, **parameters: Any) -> requests.Response:
        parameters["registered_model_name"] = self.model
        return self._session.get(f"{self._host}{self._api}/{call}", params=parameters, timeout=60)

    def send(self, method: str, call: str, **parameters: Any) -> Any:
        answer = self._call(method, call, parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def path(self, key: str) -> str:
        return f"{self._scoring}/{self.model}/{key}/invocations"

    def score(self, key: str, body: str, content_type: str = "application/json", **options: Any) -> requests.Response:
        options.setdefault("auth", self._basic)
        headers = {"Content-Type": content_type}
        return requests.post(f"{self._host}{self.path(key)}", data=body, headers=headers, timeout=70, **options)

    def _call(self, method: str, call: str, parameters: dict[str, Any]) -> requests.Response:
        body = {"registered_model_name": self.model, **parameters}
        return self._session.request(method, f"{self._host}{self._api}/{call}", json=body, timeout=60)


@pytest.fixture
def registry(house: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """MLflow's client, as a person's script has it."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", house.token)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        yield MlflowClient(tracking_uri=f"{house.url}/mlflow")


@contextlib.contextmanager
def disabled(notebook: Notebook) -> Iterator[Notebook]:
    """Disabled again at the end, whatever happens."""
    try:
        yield notebook
    finally:
        with contextlib.suppress(AssertionError):
            notebook.send("POST", "disable")


ONE_ROW = json.dumps({"dataframe_split": {"columns": ["a"], "data": [[1.5]]}})
OLD_SPLIT = json.dumps({"columns": ["a"], "index": [0], "data": [[1.5]]})  # MLflow 1.x: nothing around it
WITH_NAN = '{"dataframe_split": {"columns": ["a"], "data": [[NaN]]}}'


def served(answer: requests.Response) -> Any:
    """Which version it is that answered: each answers with a number of its own."""
    assert answer.status_code == 200, answer.text
    predictions = answer.json()
    return predictions["predictions"][0] if isinstance(predictions, dict) else predictions[0]


WHOLE = pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.acceptance)])


@WHOLE
def test_serverless_real_time_inference(house: Platform, registry: Any, whole: bool) -> None:
    model = "promo-whole" if whole else "promo"
    for _ in range(3 if whole else 2):
        register(house, "stamped", model)
    notebook = Notebook(house, model, "/api/2.0/preview/mlflow/endpoints-v2", "/model-endpoint")
    with disabled(notebook):
        not_yet = notebook.get_by_query("get-status")
        assert (not_yet.status_code, not_yet.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
        comes_up(notebook, registry)
        scores_in_the_forms_of_its_time(house, notebook)
        if whole:
            is_operated(notebook)
            moves_without_a_request_lost(house, notebook, registry)
        notebook.send("POST", "disable")
        assert notebook.get_by_query("get-status").status_code == 404
        until(lambda: notebook.score("Production", ONE_ROW).status_code == 404, 30)
        assert f"serverless-{model}" not in house.command("list").stdout


def comes_up(notebook: Notebook, registry: Any) -> None:
    registry.transition_model_version_stage(notebook.model, "1", "Production")
    registry.transition_model_version_stage(notebook.model, "2", "Staging")
    notebook.send("POST", "enable")
    notebook.send("POST", "enable")

    def ready() -> bool:
        versions = notebook.get("list-versions")["endpoint_statuses"]
        states = {one["endpoint_version_name"]: one["service_status"]["state"] for one in versions}
        assert "SERVICE_STATE_FAILED" not in states.values(), versions
        return states == {"1": "SERVICE_STATE_READY", "2": "SERVICE_STATE_READY"}

    until(ready, 300)
    status = notebook.get("get-status")["endpoint_status"]
    assert status["state"] == "ENDPOINT_STATE_READY"
    assert {config["stage"] for config in status["compute_config"]} == {"Production", "Staging"}
    assert status in notebook.get("list")["endpoint_statuses"]
    aliases = notebook.get("list-version-aliases")["aliases"]
    assert {one["alias"]: one["endpoint_version_name"] for one in aliases} == {"Production": "1", "Staging": "2"}


def scores_in_the_forms_of_its_time(house: Platform, notebook: Notebook) -> None:
    first, second = served(notebook.score("Production", ONE_ROW)), served(notebook.score("Staging", ONE_ROW))
    assert first != second
    assert served(notebook.score("1", OLD_SPLIT)) == first
    assert served(notebook.score("2", WITH_NAN)) == second
    assert served(notebook.score("2", json.dumps({"inputs": {"a": [1.5]}}))) == second
    bearer = {"Authorization": f"Bearer {house.token}", "Content-Type": "application/json"}
    url = f"{house.url}{notebook.path('1')}"
    assert served(requests.post(url, data=ONE_ROW, headers=bearer, timeout=60)) == first
    assert requests.post(url, data=ONE_ROW, timeout=60).status_code == 401
    assert notebook.score("3", ONE_ROW).status_code == 404


def is_operated(notebook: Notebook) -> None:
    sizes = notebook.get("get-supported-workload-sizes")["workload_sizes"]
    assert [size["key"] for size in sizes] == ["Small", "Medium", "Large"]
    notebook.send(
        "PUT",
        "update-compute-config",
        stage="Production",
        desired_workload_config_spec={"workload_size_id": "Medium", "scale_to_zero_enabled": "false"},
    )

    def updated() -> bool:
        status = notebook.get("get-version-status", endpoint_version_name="1")["endpoint_status"]
        assert status["service_status"]["state"] == "SERVICE_STATE_READY"
        spec = status["service_status"]["config"]["workload_spec"]
        return status["config_update_status"] is None and spec["workload_size_id"] == "Medium"

    until(updated, 120)
    replicas = notebook.get("get-version-replicas", endpoint_version_name=1)["version_replicas"]
    assert "RUNNING" in {replica["last_known_status"] for replica in replicas}
    logs = notebook.send("POST", "get-version-logs", endpoint_version_name="1", replica_id=replicas[0]["replica_id"])
    assert isinstance(logs["logs"], str)
    assert notebook.send("POST", "get-version-build-logs", endpoint_version_name="1")["logs"]
    now = round(time.time() * 1000)
    metrics = notebook.get(
        "get-version-metrics", endpoint_version_name="1", start_timestamp=now - 3_600_000, end_timestamp=now
    )
    assert metrics["bucket_interval_ms"] == 60_000
    assert sum(point["requestRate"] for point in metrics["data"]) > 0
    assert max(point["p99Latency"] or 0 for point in metrics["data"]) > 0
    events = notebook.get("get-event-history")["events"]
    assert {"MODEL_SERVING_EVENT", "MODEL_SERVICE_EVENT", "MODEL_VERSION_SERVING_EVENT"} <= {e["type"] for e in events}


def moves_without_a_request_lost(house: Platform, notebook: Notebook, registry: Any) -> None:
    """Version 3 to Production beside version 1, then 2 from Staging to Production: stage and version URLs answer."""
    body = json.loads(ONE_ROW)

    def load(key: str) -> Load:
        return Load(house, "", body, RATE, path=notebook.path(key))

    def serves(stage: str, version: str) -> bool:
        aliases = notebook.get("list-version-aliases")["aliases"]
        return {"alias": stage, "endpoint_version_name": version} in aliases

    with load("Production") as stage, load("1") as left:
        registry.transition_model_version_stage(notebook.model, "3", "Production")
        until(lambda: serves("Production", "3"), 120)
        time.sleep(1)
    assert (stage.outcome.lost, left.outcome.lost) == ({}, {})
    assert len({answer.text for answer in stage.outcome.answers}) == 2
    assert len({answer.text for answer in left.outcome.answers}) == 1
    with load("2") as moved, load("Production") as stage:
        registry.transition_model_version_stage(notebook.model, "2", "Production")
        until(lambda: {one["alias"] for one in notebook.get("list-version-aliases")["aliases"]} == {"Production"}, 120)
        registry.transition_model_version_stage(notebook.model, "3", "Archived")
        until(lambda: serves("Production", "2"), 120)
        time.sleep(1)
    assert (moved.outcome.lost, stage.outcome.lost) == ({}, {})
    versions = notebook.get("list-versions")["endpoint_statuses"]
    assert [one["endpoint_version_name"] for one in versions] == ["1", "2"]


@WHOLE
def test_classic_model_serving(house: Platform, registry: Any, whole: bool) -> None:
    model = "cellar-whole" if whole else "cellar"
    for _ in range(2):
        register(house, "stamped", model)
    notebook = Notebook(house, model, "/api/2.0/mlflow/endpoints", "/model")
    with disabled(notebook):
        not_yet = notebook.get_by_query("get-status")
        assert (not_yet.status_code, not_yet.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        notebook.send("POST", "enable")
        every_version_comes_up(notebook)
        if whole:
            serves_new_versions_and_ends_archived_ones(house, notebook, registry)
            is_a_cluster_in_name(notebook)
        notebook.send("POST", "disable")
        assert notebook.get_by_query("get-status").status_code == 400


def every_version_comes_up(notebook: Notebook) -> None:
    """Clients of the time polled the URL itself, through its 503."""
    seen = set()

    def answers(version: str) -> bool:
        answer = notebook.score(version, OLD_SPLIT)
        seen.add(answer.status_code)
        return answer.status_code == 200

    for version in "12":
        until(lambda version=version: answers(version), 300)  # type: ignore[misc]
    assert seen <= {200, 404, 503}  # 404 where a gateway takes longer than a second to hear of it
    answer = notebook.score("1", OLD_SPLIT, "application/json; format=pandas-split").json()
    assert isinstance(answer, list)  # as MLflow 1.x answered
    records = notebook.score("1", '[{"a": 1.5}]', "application/json; format=pandas-records")
    assert records.json() == answer
    assert notebook.score("1", ONE_ROW).json() == {"predictions": answer}
    assert served(notebook.score("2", "a\n1.5\n", "text/csv")) != answer[0]

    def ready() -> bool:
        versions = notebook.get("list-versions")["endpoint_versions"]
        return {one["endpoint_version_name"]: one["state"] for one in versions} == dict.fromkeys(
            "12", "VERSION_STATE_READY"
        )

    until(ready, 60)
    status = notebook.get("get-status")["endpoint_status"]
    assert (status["state"], status["serving_version"]) == ("ENDPOINT_STATE_READY", "V1")
    assert status in notebook.get("list")["endpoints"]


def serves_new_versions_and_ends_archived_ones(house: Platform, notebook: Notebook, registry: Any) -> None:
    register(house, "stamped", notebook.model)
    until(lambda: notebook.score("3", ONE_ROW).status_code == 200, 120)
    with Load(house, "", json.loads(ONE_ROW), RATE, path=notebook.path("3")) as load:
        registry.transition_model_version_stage(notebook.model, "3", "Production")
        until(lambda: notebook.score("Production", ONE_ROW).status_code == 200, 120)
        until(lambda: f"classic-{notebook.model}-3" not in house.command("list").stdout, 60)
    assert load.outcome.lost == {}
    assert served(notebook.score("Production", ONE_ROW)) == served(notebook.score("3", ONE_ROW))
    registry.transition_model_version_stage(notebook.model, "1", "Archived")
    until(lambda: notebook.score("1", ONE_ROW).status_code == 404, 60)
    assert notebook.get("list-version-aliases")["aliases"] == [{"alias": "Production", "endpoint_version_name": "3"}]


def is_a_cluster_in_name(notebook: Notebook) -> None:
    notebook.send("PUT", "update-cluster-config", desired_cluster_config={"node_type_id": "i3.xlarge"})
    config = notebook.get("get-status")["endpoint_status"]["actual_cluster_config"]
    assert config["node_type_id"] == "i3.xlarge"
    assert isinstance(notebook.send("POST", "get-version-logs", endpoint_version_name="2")["logs"], str)
    metrics = notebook.get("get-metric-history")["metrics"]
    assert sum(metric["value"] for metric in metrics if metric["key"] == "successes") > 0
    events = notebook.get("get-event-history")["events"]
    assert {"ENDPOINT_UPDATED", "MODEL_UPDATE", "VERSION_UPDATE"} <= {event["event_type"] for event in events}
