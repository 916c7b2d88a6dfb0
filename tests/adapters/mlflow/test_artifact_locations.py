"""Which artifact locations may be opened, however they are written."""

import os
from pathlib import Path

import pytest

from tidegate.adapters.mlflow.artifact_locations import ArtifactLocations, not_to_copy, shown

OWN = "/api/2.0/mlflow-artifacts/artifacts"
HTTP = ArtifactLocations("http://user:pass@registry:5000/mlflow", ("s3:", "abfss:", "gs://bucket/models"))


@pytest.mark.parametrize(
    "location",
    [
        "mlflow-artifacts:/1/models/m-1/artifacts",
        f"http://registry:5000/mlflow{OWN}/1/models/m-1",
        f"http://REGISTRY:5000/mlflow{OWN}/1",
        "mlflow-artifacts://registry:5000/1/models/m-1",
        "s3://any/models/my model",
        "gs://bucket/models/wine",
        "abfss://files@account.dfs.core.windows.net/models",
        "models:/m-1",  # what it leads to is checked in its turn
        "runs:/1/model",
    ],
)
def test_the_registrys_own_store_and_listed_ones_may_be_opened(location: str) -> None:
    assert HTTP.refusal(location) is None


@pytest.mark.parametrize(
    "location",
    [
        f"http://evil.example/mlflow{OWN}/1",
        f"http://registry:5001/mlflow{OWN}/1",
        f"https://registry:5000/mlflow{OWN}/1",
        f"http://registry:5000{OWN}/1",  # beside the registry
        f"http://registry:5000/mlflow{OWN}-else/1",
        "http://registry:5000/api/2.0/serving-endpoints",
        f"http://registry:5000/mlflow{OWN}/../../../serving-endpoints",
        f"http://registry:5000/mlflow{OWN}/%2e%2e/x",
        f"http://registry:5000/mlflow{OWN}/%252e%252e/x",
        "mlflow-artifacts:/%2E%2E/%2e%2e/etc",
        "mlflow-artifacts:/1/../../etc",
        f"http://registry:5000@evil.example/mlflow{OWN}/1",
        f"http://evil.example\\@registry:5000/mlflow{OWN}/1",
        f"http://user@registry:5000/mlflow{OWN}/1",
        f"http://registry:5000.evil.example/mlflow{OWN}/1",
        f"http://registry:port/mlflow{OWN}/1",
        f"http://[registry:5000/mlflow{OWN}/1",
        f" http://registry:5000/mlflow{OWN}/1",
        f"http://regis\ntry:5000/mlflow{OWN}/1",
        f"http:///mlflow{OWN}/1",
        "mlflow-artifacts://evil.example/1",
        "mlflow-artifacts://registry/1",
        "ftp://evil.example/x",
        "hdfs://evil.example/x",
        "r2://bucket@evil.example/x",
        "abfss://files@evil.example/x",
        "abfss://files@a.evil.example?.dfs.core.windows.net/x",
        "gs://bucket/other",
        "gs://bucket/models-else",
        "gs://bucket/models/../other",
        "gs://other/models",
        "/etc/passwd",
        "file:///etc/passwd",
        "file://elsewhere/etc/passwd",
        "models://profile@databricks/m/1",
        "runs://evil.example/x",
        "FILE:///etc/passwd",
        "etc/passwd",
        "c:/etc",
        "\0",
    ],
)
def test_anything_else_may_not(location: str) -> None:
    assert HTTP.refusal(location)


@pytest.fixture
def registry(tmp_path: Path) -> ArtifactLocations:
    """One that is a database beside its artifacts; a folder elsewhere is listed."""
    for folder in ("registry/mlruns", "listed", "other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "registry" / "out").symlink_to(tmp_path / "other")
    (tmp_path / "into").symlink_to(tmp_path / "registry" / "mlruns")
    (tmp_path / "registry" / "circle").symlink_to(tmp_path / "registry" / "circle")
    return ArtifactLocations(f"sqlite:///{tmp_path}/registry/mlflow.db", (str(tmp_path / "listed"),))


@pytest.mark.parametrize(
    ("written", "may"),
    [
        ("{}/registry/mlruns/1", True),
        ("file://{}/registry/mlruns/1", True),
        ("file:{}/registry/mlruns/1", True),
        ("file://localhost{}/listed/1", True),
        ("{}/into/1", True),
        ("{}/registry/../listed", True),
        ("{}/other", False),
        ("{}/registry-else", False),
        ("{}/registry/../other", False),
        ("{}/registry/%2e%2e/other", False),
        ("file://{}/registry/%2e%2e/other", False),
        ("{}/registry/out/1", False),
        ("{}/registry/circle", False),
        ("{}/registry/\0", False),
        ("s3://bucket/models", False),
    ],
)
def test_folders_are_meant_as_their_links_lead(
    registry: ArtifactLocations, tmp_path: Path, written: str, may: bool
) -> None:
    assert (registry.refusal(written.format(tmp_path)) is None) is may


@pytest.mark.parametrize("uri", ["", "sqlite:////mlflow.db", "databricks", "postgresql://host/db", "https://host"])
def test_a_registry_elsewhere_has_no_folder_here(uri: str) -> None:
    assert ArtifactLocations(uri).refusal("/etc")
    assert ArtifactLocations(uri).refusal(str(Path("databricks").absolute()))


def test_only_plain_files_are_copied(registry: ArtifactLocations, tmp_path: Path) -> None:
    source = tmp_path / "registry" / "mlruns"
    (source / "data").mkdir()
    (source / "data" / "weights").write_text("1")
    (source / "same").symlink_to(source / "data" / "weights")
    (source / "listed").symlink_to(tmp_path / "listed" / "w")
    (tmp_path / "listed" / "w").write_text("1")
    assert not_to_copy(source, registry) is None


@pytest.mark.parametrize("kind", ["elsewhere", "folder", "pipe", "nowhere", "piped"])
def test_what_leads_elsewhere_or_has_no_end_is_not(registry: ArtifactLocations, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "registry" / "mlruns"
    odd = source / "data" / "odd"
    odd.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "piped":
        os.mkfifo(tmp_path / "listed" / "pipe")
        odd.symlink_to(tmp_path / "listed" / "pipe")
    else:
        odd.symlink_to({"elsewhere": Path("/etc/passwd"), "folder": source, "nowhere": source / "gone"}[kind])
    assert "'data/odd' is " in (not_to_copy(source, registry) or "")


def test_credentials_are_not_shown() -> None:
    assert shown("https://user:pass@host/a@b?sig=secret") == "https://host/a@b"
    assert shown("sqlite:////a@b/c.db") == "sqlite:////a@b/c.db"
    assert shown("wasbs://files@account.blob.core.windows.net/x") == "wasbs://account.blob.core.windows.net/x"
