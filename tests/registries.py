"""Real MLflow registries, made once per session."""

import contextlib
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

from tidegate.adapters import embedded_registry
from tidegate.data_directory import DataDirectory

QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}


@dataclass(frozen=True)
class RealRegistry:
    """An MLflow registry: its URI and its database."""

    uri: str
    database: Path

    def change(self, name: str, *changes: str) -> None:
        """Do this to a registered model with MLflow's own client, in a process of its own; see `change_model`."""
        _run("change_model.py", self.uri, name, *changes)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """A tracking server over http with the models of `register_models`."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    port = _free_port()
    registry = RealRegistry(f"http://127.0.0.1:{port}", folder / "mlflow.db")
    argv = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{registry.database}"),
        *("--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts"),
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(argv, env=os.environ | QUIET, stdout=log, stderr=log, cwd=folder)
    try:
        _wait_until_up(f"{registry.uri}/health", server, folder / "log")
        _register(registry)
        yield registry
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> RealRegistry:
    """A registry that is only a database, with its files beside it and the models of `register_models`."""
    folder = tmp_path_factory.mktemp("mlflow-database")
    registry = RealRegistry(f"sqlite:///{folder}/mlflow.db", folder / "mlflow.db")
    _register(registry, str(folder / "artifacts"))
    return registry


def _register(registry: RealRegistry, artifact_location: str = "") -> None:
    _run("register_models.py", registry.uri, artifact_location)
    with sqlite3.connect(registry.database) as connection:
        for version, status in ((2, "PENDING_REGISTRATION"), (3, "FAILED_REGISTRATION")):
            connection.execute("UPDATE model_versions SET status=? WHERE name='tea' AND version=?", (status, version))
    connection.close()


def _run(script: str, uri: str, *arguments: str) -> None:
    argv = [sys.executable, str(Path(__file__).parent / script), *arguments]
    environment = os.environ | QUIET | {"MLFLOW_TRACKING_URI": uri}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_up(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"the MLflow server did not start:\n{log.read_text()}")


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
