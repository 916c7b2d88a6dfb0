"""The worker with the other major version of pandas: values, both paths, and MLflow's own server beside them."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

# pandas 2 beside the one of the lock, which is 3; whichever is older reads dates and text otherwise.
OTHER = ("pandas==2.3.3", "pytz==2026.6", "tzdata")
FILES = [f"tests/worker/input/test_{name}.py" for name in ("values", "csv")]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables with which a Python of this environment finds the other pandas first."""
    folder, uv = tmp_path_factory.mktemp("pandas"), Path(sys.executable).with_name("uv")
    command: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--python",
        sys.executable,
        "--target",
        folder,
        *OTHER,
    ]
    subprocess.run(command, check=True, timeout=100)
    found = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", "import pandas; print(pandas.__version__)"]
    version = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=found).stdout
    assert version.partition(".")[0] != pd.__version__.partition(".")[0]
    return found


def run(environment: dict[str, str], *arguments: str) -> str:
    """What pytest says of these tests with the other pandas; fails where one of them does."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_values_are_the_same_with_it(environment: dict[str, str]) -> None:
    run(environment, *FILES)


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_it_reads_as_mlflow_does_with_it(environment: dict[str, str]) -> None:
    said = run(
        environment, "-s", "tests/worker/input/test_agreement.py", "tests/worker/fast/test_compiled.py", "-m", ""
    )
    figures = [line[line.index("FIGURE") :] for line in said.splitlines() if "FIGURE" in line]
    assert figures
    print(figures[-1])
