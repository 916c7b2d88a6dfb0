"""Loading gives what MLflow gives, with less work."""

import sys
from pathlib import Path

import mlflow.models.model
import mlflow.pyfunc
import pytest
import yaml

from tests.worker.replica import probe_model
from tidegate_worker.model import loading


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.path", [*sys.path])
    return probe_model(tmp_path / "m", example="say:hello")


def test_the_metadata_are_those_that_mlflow_reads(model: Path) -> None:
    plain, quick = mlflow.pyfunc.load_model(str(model)), loading.load(str(model))
    quick.metadata.utc_time_created = plain.metadata.utc_time_created  # of the load, as the file has none
    assert quick.metadata.to_dict() == plain.metadata.to_dict()
    assert quick.metadata.load_input_example(str(model)).equals(plain.input_example)


def test_mlflow_is_as_before_afterwards_even_when_the_load_fails(tmp_path: Path) -> None:
    read = mlflow.models.Model.load_input_example
    with pytest.raises(ImportError, match="absent"):
        loading.load(str(probe_model(tmp_path / "broken", "broken")))
    assert mlflow.models.model.yaml is yaml
    assert mlflow.models.Model.load_input_example is read


def test_what_libyaml_does_not_take_is_read_as_mlflow_does() -> None:
    quick = loading._LibYaml(yaml)
    assert quick.safe_load("a: [1, 2.5, null, 2024-01-01]") == yaml.safe_load("a: [1, 2.5, null, 2024-01-01]")
    with pytest.raises(yaml.YAMLError):
        quick.safe_load("a: [1")
    assert quick.safe_dump is yaml.safe_dump


def test_without_libyaml_it_loads_too(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert loading.load(str(model)).metadata.signature is not None
