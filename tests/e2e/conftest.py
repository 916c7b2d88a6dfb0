"""One platform with a small registry for all tests here; those that break it come last (`tests/order.py`)."""

import atexit
import functools
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import zoo
from tests.e2e.running_platform import Platform, platform
from tests.scripts import Script

ZOO = Path(zoo.__file__)


@dataclass(frozen=True)
class Registered:
    """A model version of the shared registry, and a request that fits it."""

    name: str
    version: str
    request: dict[str, Any]


def register(running: Platform, kind: str, name: str, python: str | None = None, *, uri: str = "") -> dict[str, Any]:
    """Log and register a model of the zoo, as a data scientist's script would; returns a request that fits it.

    `uri` is another registry than the embedded one.
    """
    uri = uri or f"{running.url}/mlflow"
    if python is None:
        answer = _script().ask(" ".join((kind, uri, name, running.token)))
        assert answer != "FAILED", f"{kind} was not registered; why is on standard error"
        return dict(json.loads(answer.removeprefix("REQUEST ")))
    environment = running.environ | {"MLFLOW_TRACKING_TOKEN": running.token, "GIT_PYTHON_REFRESH": "quiet"}
    done = subprocess.run(
        [python, str(ZOO), kind, uri, name], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("REQUEST "))
    return dict(json.loads(line.removeprefix("REQUEST ")))


@functools.cache
def _script() -> Script:
    """The zoo as one program that has imported MLflow once, for all models of a test run."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TIDEGATE_", "DATABRICKS_", "MLFLOW_"))}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    script = Script(ZOO, ("REQUEST ", "FAILED"), environment | {"GIT_PYTHON_REFRESH": "quiet"})
    atexit.register(script.end)
    return script


# So short that a replica's parking ends within a test.
PARK_SECONDS = 15.0
# What stays on the shared platform from file to file: the sample, and what `iris` makes.
_SHARED = {"wine", "iris"}
_platforms: list[Platform] = []


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The shared platform, as a newcomer starts it. Tests give their endpoints names of their own."""
    environment = {"TIDEGATE_ROLLOUTS__PARK_SECONDS": str(PARK_SECONDS)}
    with platform(tmp_path_factory.mktemp("house") / "data", "--sample", environment=environment) as running:
        running.wait_for_line("curl ", 300)  # the sample wants an empty registry
        _platforms.append(running)
        yield running
        _platforms.remove(running)
        assert running.stop() == 0


@pytest.fixture(scope="module", autouse=True)
def _tidy() -> Iterator[None]:
    """A file's endpoints end with it: their replicas would cost the others time."""
    yield
    for running in _platforms:
        with running.client() as client:
            for endpoint in client.get("/api/2.0/serving-endpoints").json()["endpoints"]:
                if endpoint["name"] not in _SHARED:
                    client.delete(f"/api/2.0/serving-endpoints/{endpoint['name']}")


@pytest.fixture(scope="session")
def iris(house: Platform) -> Registered:
    """Two versions of a scikit-learn model for the same request; an endpoint `iris` serves the first."""
    request = register(house, "tabular", "iris")
    register(house, "tabular", "iris")
    house.launch("iris", "iris")
    return Registered("iris", "1", request)
