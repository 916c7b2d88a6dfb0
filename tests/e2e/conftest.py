"""One platform with a small registry for all tests that do not break it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import zoo
from tests.e2e.running_platform import Platform, platform

ZOO = Path(zoo.__file__)


@dataclass(frozen=True)
class Registered:
    """A model version of the shared registry, and a request that fits it."""

    name: str
    version: str
    request: dict[str, Any]


def register(running: Platform, kind: str, name: str, python: str = sys.executable) -> dict[str, Any]:
    """Log and register a model of the zoo, as a data scientist's script would; returns a request that fits it."""
    environment = running.environ | {"MLFLOW_TRACKING_TOKEN": running.token, "GIT_PYTHON_REFRESH": "quiet"}
    done = subprocess.run(
        [python, str(ZOO), kind, f"{running.url}/mlflow", name],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("REQUEST "))
    return dict(json.loads(line.removeprefix("REQUEST ")))


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The shared platform. Tests give their endpoints names of their own."""
    with platform(tmp_path_factory.mktemp("house") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def wine(house: Platform) -> Registered:
    """Two versions of a scikit-learn model for the same request; an endpoint `wine` serves the first."""
    request = register(house, "tabular", "wine")
    register(house, "tabular", "wine")
    house.launch("wine", "wine")
    return Registered("wine", "1", request)
