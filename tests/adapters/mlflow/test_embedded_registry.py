"""The embedded registry, started for real."""

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.registries import EmbeddedRegistry, running_embedded
from tidegate.adapters.mlflow import embedded_registry
from tidegate.data_directory import DataDirectory

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
SEARCH = "/mlflow/api/2.0/mlflow/registered-models/search"
CREATE = "/mlflow/api/2.0/mlflow/registered-models/create"


@pytest.fixture
def registry(embedded: EmbeddedRegistry) -> EmbeddedRegistry:
    return embedded


def test_it_answers_over_its_socket(registry: EmbeddedRegistry) -> None:
    answer = registry.client.get(SEARCH)
    assert answer.status_code == 200
    assert set(answer.json()) <= {"registered_models", "next_page_token"}
    assert registry.client.get("/mlflow/").headers["content-type"].startswith("text/html")


def test_it_is_one_process_without_a_port_or_a_secret(registry: EmbeddedRegistry) -> None:
    process = psutil.Process(registry.process.pid)
    assert process.children(recursive=True) == []
    assert process.net_connections(kind="inet") == []
    assert process.cmdline()[0] == "tidegate: registry"
    assert "secret" not in Path(f"/proc/{process.pid}/environ").read_text()


def test_its_socket_is_this_users_alone(registry: EmbeddedRegistry) -> None:
    assert stat.S_IMODE(registry.data.registry_socket.stat().st_mode) == 0o600


def test_foreign_hosts_and_origins_are_refused(registry: EmbeddedRegistry) -> None:
    assert registry.client.get(SEARCH, headers={"Host": "example.com"}).status_code == 403
    answer = registry.client.post(CREATE, json={"name": "x"}, headers={"Origin": "http://example.com"})
    assert answer.status_code == 403


def test_nobody_passes_for_a_client_on_this_machine(registry: EmbeddedRegistry) -> None:
    path = "/mlflow/ajax-api/3.0/mlflow/assistant/sessions/00000000-0000-0000-0000-000000000000/stream"
    for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}):
        assert registry.client.get(path, headers=headers).status_code == 403


def test_an_artifact_upload_is_streamed_to_the_disk(registry: EmbeddedRegistry) -> None:
    chunk = os.urandom(1024 * 1024)
    registry.client.put(f"{ARTIFACTS}/1/small", content=chunk).raise_for_status()
    before = registry.peak_memory()
    registry.client.put(f"{ARTIFACTS}/1/large", content=(chunk for _ in range(100))).raise_for_status()
    assert registry.peak_memory() - before < 20 * 1024 * 1024
    assert (registry.data.mlflow / "artifacts" / "1" / "large").stat().st_size == 100 * 1024 * 1024
    with registry.client.stream("GET", f"{ARTIFACTS}/1/large") as download:
        assert sum(map(len, download.iter_raw())) == 100 * 1024 * 1024


EXPERIMENT = "/mlflow/api/2.0/mlflow/experiments/create"


@pytest.mark.parametrize(
    "location",
    ["file:///etc", "/etc", "etc", "s3://bucket/x", "mlflow-artifacts:/../../etc", "http://evil.example/x", "dbfs:/x"],
)
def test_an_experiment_elsewhere_is_refused(registry: EmbeddedRegistry, location: str) -> None:
    answer = registry.client.post(EXPERIMENT, json={"name": f"at {location}", "artifact_location": location})
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    if "evil" not in location:  # MLflow itself refuses that
        assert "registry.artifact_roots" in answer.json()["message"]


def test_an_experiment_among_its_artifacts_is_not(registry: EmbeddedRegistry) -> None:
    for number, location in enumerate(("mlflow-artifacts:/mine", f"{registry.data.mlflow_artifacts}/here")):
        asked = {"name": f"own {number}", "artifact_location": location}
        registry.client.post(EXPERIMENT, json=asked).raise_for_status()


def test_a_location_elsewhere_from_before_is_neither_written_to_nor_read(
    registry: EmbeddedRegistry, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    api = "/mlflow/api/2.0/mlflow"
    made = registry.client.post(EXPERIMENT, json={"name": "before", "artifact_location": "mlflow-artifacts:/b"})
    run = registry.client.post(f"{api}/runs/create", json={"experiment_id": made.json()["experiment_id"]}).json()
    run_id = run["run"]["info"]["run_id"]
    with contextlib.closing(sqlite3.connect(registry.data.mlflow / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE runs SET artifact_uri=? WHERE run_uuid=?", (f"file://{tmp_path}", run_id))
    listed = registry.client.get(f"{api}/artifacts/list", params={"run_id": run_id})
    read = registry.client.get("/mlflow/get-artifact", params={"run_id": run_id, "path": "secret"})
    written = registry.client.post(
        "/mlflow/ajax-api/2.0/mlflow/upload-artifact", params={"run_uuid": run_id, "path": "a.txt"}, content=b"a"
    )
    for answer in (listed, read, written):
        assert answer.status_code == 400
        assert "This registry does not open file://" in answer.json()["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.acceptance
def test_it_ends_with_its_supervisor_and_comes_back_with_what_it_knew(tmp_path: Path) -> None:
    with running_embedded(tmp_path) as first:
        first.client.post(CREATE, json={"name": "wine"}).raise_for_status()
        first.process.kill()  # its socket's file stays behind
    with running_embedded(tmp_path) as second:
        found = second.client.get(SEARCH).json()["registered_models"]
        assert [model["name"] for model in found] == ["wine"]
        second.life_line.close()
        second.process.wait(5)


def test_the_variables_are_those_that_mlflow_server_sets(tmp_path: Path) -> None:
    names = (
        "from mlflow.server import constants as c, handlers as h; from mlflow import environment_variables as e; "
        "print(c.BACKEND_STORE_URI_ENV_VAR, c.REGISTRY_STORE_URI_ENV_VAR, c.ARTIFACT_ROOT_ENV_VAR, "
        "c.ARTIFACTS_DESTINATION_ENV_VAR, c.SERVE_ARTIFACTS_ENV_VAR, h.STATIC_PREFIX_ENV_VAR, e._MLFLOW_SGI_NAME.name, "
        "e.MLFLOW_SERVER_ENABLE_JOB_EXECUTION.name, 'MLFLOW_DISABLE_TELEMETRY')"
    )
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", names], capture_output=True, text=True, check=True)
    assert set(told.stdout.split()) == set(embedded_registry.environment(DataDirectory(tmp_path), {})) - {
        "PYTHONWARNINGS"
    }


DOWNGRADE = """
import sys
from alembic import command
from mlflow.store.db.utils import _get_alembic_config
command.downgrade(_get_alembic_config(sys.argv[1]), "-1")
"""


@pytest.mark.acceptance
def test_the_database_of_an_older_mlflow_is_upgraded_and_a_copy_kept(tmp_path: Path) -> None:
    with running_embedded(tmp_path) as first:
        first.client.post(CREATE, json={"name": "wine"}).raise_for_status()
        database = first.data.mlflow / "mlflow.db"
    newest = _schema(database)
    subprocess.run([sys.executable, "-W", "ignore", "-c", DOWNGRADE, f"sqlite:///{database}"], check=True)
    database.with_suffix(".version").write_text("3.0.0")
    older = _schema(database)
    assert older != newest
    with running_embedded(tmp_path) as second:
        assert second.client.get(SEARCH).json()["registered_models"][0]["name"] == "wine"
    assert _schema(database) == newest
    assert _schema(database.with_name("mlflow.db.3.0.0")) == older


def _schema(database: Path) -> str:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(version)
