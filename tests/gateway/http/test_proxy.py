"""How a path is sent on to the registry."""

import pytest

from tidegate.event_streams import Scope
from tidegate.gateway.http import proxy


def scope(method: str, path: str, query: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()) -> Scope:
    return {
        "method": method, "path": path, "raw_path": path.encode(), "query_string": query, "headers": list(headers),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("PUT", "/mlflow/api/2.0/mlflow-artifacts/artifacts/1/a.bin", "/api/2.0/mlflow-artifacts/artifacts/1/a.bin"),
        ("GET", "/mlflow/api/2.0/mlflow-artifacts/artifacts/1/a.bin", "/api/2.0/mlflow-artifacts/artifacts/1/a.bin"),
        ("PUT", "/mlflow/ajax-api/2.0/mlflow-artifacts/artifacts/x", "/ajax-api/2.0/mlflow-artifacts/artifacts/x"),
        ("DELETE", "/mlflow/api/2.0/mlflow-artifacts/artifacts/1/a", "/mlflow/api/2.0/mlflow-artifacts/artifacts/1/a"),
        ("GET", "/mlflow/api/2.0/mlflow-artifacts/artifacts", "/mlflow/api/2.0/mlflow-artifacts/artifacts"),
        ("GET", "/mlflow/", "/mlflow/"),
    ],
)
def test_files_stream_without_the_prefix(method: str, path: str, sent: str) -> None:
    assert proxy.target(scope(method, path)) == sent


def test_the_query_is_kept_as_it_came() -> None:
    assert proxy.target(scope("GET", "/api/x%20y", b"a=%2F")) == "/api/x%20y?a=%2F"


@pytest.mark.parametrize(
    ("method", "path", "writes"),
    [
        ("POST", "/mlflow/api/2.0/mlflow/registered-models/alias", True),
        ("DELETE", "/mlflow/api/2.0/mlflow/model-versions/delete", True),
        ("POST", "/mlflow/ajax-api/2.0/mlflow/model-versions/transition-stage", True),
        ("GET", "/mlflow/api/2.0/mlflow/registered-models/search", False),
        ("POST", "/mlflow/api/2.0/mlflow/registered-models/get-latest-versions", False),
        ("POST", "/mlflow/api/2.0/mlflow/runs/create", False),
    ],
)
def test_writes_to_the_registry_are_noticed(method: str, path: str, writes: bool) -> None:
    assert proxy.writes_registry(scope(method, path)) is writes
