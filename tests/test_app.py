"""What the composition root decides by itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from tidegate import app, settings, settings_loading
from tidegate.data_directory import DataDirectory


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("http://127.0.0.1:8080/mlflow", "token", ("/data/mlflow/artifacts",))),
        (
            {"artifact_roots": "s3://b/m"},
            ("http://127.0.0.1:8080/mlflow", "token", ("/data/mlflow/artifacts", "s3://b/m")),
        ),
        ({"uri": "http://mlflow"}, ("http://mlflow", "", settings.USUAL_STORES)),
        ({"uri": "http://mlflow", "artifact_roots": "/mnt/models"}, ("http://mlflow", "", ("/mnt/models",))),
    ],
)
def test_the_administrators_token_is_for_the_embedded_registry(
    given: dict[str, str], expected: tuple[str, str, tuple[str, ...]]
) -> None:
    chosen = settings_loading.load({}, overrides={"registry": given})
    assert app._registry(chosen, DataDirectory(Path("/data")), "token") == expected


@pytest.mark.parametrize(("soft", "hard", "expected"), [(256, 2000, 2000), (2000, 2000, 2000), (256, 512, 512)])
def test_a_process_may_have_as_many_connections_as_the_system_lets_it(soft: int, hard: int, expected: int) -> None:
    program = (
        "import resource; from tidegate import app\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "app._open_many_files(); print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(expected), str(hard)]
