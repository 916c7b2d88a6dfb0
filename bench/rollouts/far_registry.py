"""An MLflow registry elsewhere, behind a door that can be slow or shut."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.e2e.running_platform import until

from bench.rollouts.proxy import Proxy

_START_SECONDS = 90.0
_QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}


@dataclass(frozen=True)
class FarRegistry:
    """`uri` leads to it at any time, `through_the_door` as its clients are told."""

    uri: str
    door: Proxy

    @property
    def through_the_door(self) -> str:
        """For the platform."""
        return f"http://127.0.0.1:{self.door.port}"


@contextlib.contextmanager
def far_registry() -> Iterator[FarRegistry]:
    """A server for the length of a `with`, with nothing in it."""
    port = _free_port()
    uri = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("wb") as log:
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
        server = subprocess.Popen(argv, env=os.environ | _QUIET | told, stdout=log, stderr=log, cwd=folder)
        try:
            until(lambda: _is_up(uri), _START_SECONDS)
            with Proxy(port) as door:
                yield FarRegistry(uri, door)
        finally:
            server.terminate()
            server.wait(20)


def _is_up(uri: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{uri}/health", timeout=2).status_code == 200
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
