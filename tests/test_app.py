"""What the composition root decides by itself."""

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
