"""What MODEL_URI may be."""

from pathlib import Path

import pytest
import typer

from tidegate.cli.failure import Failure
from tidegate.cli.model_uri import parse
from tidegate.core.endpoint.served_entity import ModelRef


@pytest.mark.parametrize(
    ("uri", "ref"),
    [
        ("models:/wine/3", ModelRef("wine", "3")),
        ("models:/wine@champion", ModelRef("wine", "@champion")),
        ("models:/wine/Production", ModelRef("wine", "Production")),
        ("models:/main.default.my wine/12", ModelRef("main.default.my wine", "12")),
    ],
)
def test_registered_models(uri: str, ref: ModelRef) -> None:
    assert parse(uri) == ref
    assert ref.uri == uri


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("models:/wine", "does not name a version of a registered model"),
        ("models:/wine/", "does not name a version of a registered model"),
        ("models:/wine/1/2", "does not name a version of a registered model"),
        ("models:/m-1234", "does not name a version of a registered model"),
        ("runs:/abc/model", "Register it first"),
        ("wine", "There is no 'wine'"),
    ],
)
def test_what_names_no_model_is_wrong_usage(uri: str, why: str) -> None:
    with pytest.raises(typer.BadParameter, match=why) as caught:
        parse(uri)
    assert "models:/NAME/3" in str(caught.value)


def test_a_saved_model(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").touch()
    assert parse(str(tmp_path)) == tmp_path
    assert parse(f"file://{tmp_path}") == tmp_path


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"is not a saved model: it has no file MLmodel\. Name the directory"):
        parse(str(tmp_path))
