"""Models of many kinds serve, each from its own environment, and answer as MLflow does in that environment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import uv

from tests.e2e import reference
from tests.e2e.conftest import register
from tests.e2e.running_platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def serves_as_mlflow_does(house: Platform, kind: str, name: str, request: dict[str, Any]) -> None:
    """Launch the model, and hold its answer against MLflow's own."""
    house.launch(name, name)
    try:
        answer = house.score(name, request)
        assert answer.status_code == 200, answer.text
        expected = expected_answer(house, name, request)
        print(f"FIGURE {kind}: equal to MLflow's own answer, {answer.text[:100]}")
        assert answer.json() == expected
    finally:
        with house.client() as client:
            client.delete(f"/api/2.0/serving-endpoints/{name}")


def expected_answer(house: Platform, endpoint: str, request: dict[str, Any]) -> Any:
    """What `mlflow.pyfunc.load_model(...).predict` says in the environment that serves the endpoint."""
    targets = [json.loads(file.read_text())["target"] for file in (house.data_dir / "targets").glob("*.json")]
    target = next(target for target in targets if target["endpoint"] == endpoint)
    done = subprocess.run(
        [target["environment"]["python"], str(Path(reference.__file__)), target["model_dir"]],
        input=json.dumps(request), capture_output=True, text=True, timeout=120, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("ANSWER "))
    return json.loads(line.removeprefix("ANSWER "))


@pytest.mark.parametrize("kind", ["tensor", "custom", pytest.param("unsigned", marks=pytest.mark.acceptance)])
def test_it_serves(house: Platform, kind: str) -> None:
    serves_as_mlflow_does(house, kind, f"zoo-{kind}", register(house, kind, f"zoo-{kind}"))


@pytest.mark.acceptance
def test_a_model_logged_under_another_python_serves(house: Platform, tmp_path: Path) -> None:
    python = another_python(tmp_path, "mlflow-skinny", "pandas", "scikit-learn", "skops", "numpy")
    request = register(house, "tabular", "zoo-elsewhere", python)
    serves_as_mlflow_does(house, "another Python", "zoo-elsewhere", request)


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("kind", "packages"),
    [
        ("xgboost", ("mlflow", "xgboost")),
        ("lightgbm", ("mlflow", "lightgbm")),
        ("statsmodels", ("mlflow", "statsmodels")),
        ("onnx", ("mlflow", "onnx", "onnxruntime")),
        ("mixed", ("mlflow",)),
        ("asyncio_run", ("mlflow",)),
        ("tabular", ("mlflow<3",)),
    ],
)
def test_it_serves_too(house: Platform, tmp_path: Path, kind: str, packages: tuple[str, ...]) -> None:
    name = "zoo-" + kind.replace("_", "-") + ("-mlflow2" if "mlflow<3" in packages else "")
    python = environment(tmp_path, "3.11", *packages)
    serves_as_mlflow_does(house, " ".join((kind, *packages)), name, register(house, kind, name, python))


def environment(folder: Path, python: str, *packages: str) -> str:
    """A data scientist's environment; returns its interpreter."""
    target, environ = folder / "environment", {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    for arguments in (
        ("venv", "--python", python, str(target)),
        ("pip", "install", "--python", str(target / "bin" / "python"), *packages),
    ):
        done = subprocess.run(
            [uv.find_uv_bin(), *arguments, "--quiet"], env=environ, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
    return str(target / "bin" / "python")


def another_python(folder: Path, *packages: str) -> str:
    """An environment on a Python of another minor version than ours; skips where none is installed."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in ("3.10", "3.12", "3.13", "3.9"):
        for python in sorted(versions.glob(f"{minor}.*/bin/python")):
            return environment(folder, str(python), *packages)
    pytest.skip("no Python of another minor version is installed here")
