"""Real MLflow registries, made once per session."""

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx
import pytest

from tests.scripts import Script
from tests.services.process import Program, free_port, running
from tidegate.adapters.mlflow import embedded_registry
from tidegate.data_directory import DataDirectory

QUIET = {
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}


@dataclass(frozen=True)
class RealRegistry:
    """An MLflow registry: its URI and its database."""

    uri: str
    database: Path
    owner: "Owner"

    def change(self, name: str, *changes: str) -> None:
        """Do this to a registered model, as its owner would; see `registry_owner`."""
        self.owner.do(self.uri, "change", name, *changes)


class Owner:
    """Owns the registered models of all registries, with MLflow's own client. See `registry_owner`."""

    def __init__(self, log: Path) -> None:
        file = Path(__file__).with_name("registry_owner.py")
        self._script = Script(file, ("DONE", "FAILED"), os.environ | QUIET, log)

    def do(self, *words: str) -> None:
        """One thing, to its end."""
        assert self._script.ask(json.dumps(words)) == "DONE", self._script.words()

    def end(self) -> None:
        self._script.end()


@pytest.fixture(scope="session")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    owner = Owner(tmp_path_factory.mktemp("owner") / "log")
    yield owner
    owner.end()


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """An MLflow server for the length of a `with`, with `mlflow.db` and its artifacts in a folder; its URI."""
    port = free_port()
    # What `mlflow server` starts, without the second process that waits for it.
    argv = [sys.executable, "-P", "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--port", str(port)]
    database = f"sqlite:///{folder}/mlflow.db"
    told = {
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_REGISTRY_STORE": database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"{folder}/artifacts",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
    }
    uri = f"http://127.0.0.1:{port}"
    program = Program(argv, start_seconds=90, environ=QUIET | told)
    with running(program, folder / "log", lambda: _answers(f"{uri}/health")):
        yield uri


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, owner: Owner) -> Iterator[RealRegistry]:
    """A tracking server over http with the models of `registry_owner`."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    with running_server(folder) as uri:
        registry = RealRegistry(uri, folder / "mlflow.db", owner)
        _register(registry)
        yield registry


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory, owner: Owner) -> RealRegistry:
    """A registry that is only a database, with its files beside it and the models of `registry_owner`."""
    folder = tmp_path_factory.mktemp("mlflow-database")
    registry = RealRegistry(f"sqlite:///{folder}/mlflow.db", folder / "mlflow.db", owner)
    _register(registry, str(folder / "artifacts"))
    return registry


def _register(registry: RealRegistry, artifact_location: str = "") -> None:
    registry.owner.do(registry.uri, "models", artifact_location)
    with sqlite3.connect(registry.database) as connection:
        for version, status in ((2, "PENDING_REGISTRATION"), (3, "FAILED_REGISTRATION")):
            connection.execute("UPDATE model_versions SET status=? WHERE name='tea' AND version=?", (status, version))
    connection.close()


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, timeout=2).status_code == 200
    return False


# --- the embedded one ---


@dataclass
class EmbeddedRegistry:
    """A running server, what speaks to it, and the write end of its life line."""

    process: "subprocess.Popen[bytes]"
    client: httpx.Client
    life_line: BinaryIO
    data: DataDirectory

    def peak_memory(self) -> int:
        """Most bytes that it ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


@contextlib.contextmanager
def running_embedded(root: Path) -> Iterator[EmbeddedRegistry]:
    """The embedded registry for the length of a `with`, with its files below `root`."""
    data = DataDirectory(root)
    data.create()
    read_end, write_end = os.pipe()
    life_line = os.fdopen(write_end, "wb", 0)
    hostile = {
        "MLFLOW_SERVER_ALLOWED_HOSTS": "example.com",
        "MLFLOW_TRACKING_TOKEN": "secret",
        "TIDEGATE_TOKEN": "secret",
    }
    process = subprocess.Popen(
        embedded_registry.command(data, read_end),
        env=embedded_registry.environment(data, os.environ | hostile),
        pass_fds=(read_end,),
    )
    os.close(read_end)
    client = httpx.Client(transport=httpx.HTTPTransport(uds=str(data.registry_socket)), base_url="http://localhost")
    try:
        _wait_for_socket(data.registry_socket, process)
        yield EmbeddedRegistry(process, client, life_line, data)
    finally:
        client.close()
        life_line.close()
        if process.poll() is None:
            process.kill()
        process.wait(10)


def _wait_for_socket(path: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, "the registry ended"
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the registry did not start")


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRegistry]:
    """The registry that a platform embeds, for all tests that do not end it."""
    with running_embedded(tmp_path_factory.mktemp("registry")) as started:
        yield started
