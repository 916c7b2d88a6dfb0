"""What MODEL_URI may be."""

from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cli.failure import Failure
from tidegate.cli.model_uri import fit_name, parse
from tidegate.core.endpoint import ModelRef
from tidegate.core.validation import check_name


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
        ("models:/wine", "does not name a registered model's version"),
        ("models:/wine/", "does not name a registered model's version"),
        ("models:/wine/1/2", "does not name a registered model's version"),
        ("models:/m-1234", "does not name a registered model's version"),
        ("runs:/abc/model", "register it first"),
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
    with pytest.raises(Failure, match=r"is not a saved model: it has no file MLmodel\. Name the folder that has it\."):
        parse(str(tmp_path))


def test_names_are_made_fit() -> None:
    assert fit_name("main.default.my wine") == "main-default-my-wine"
    assert fit_name("_wine_") == "wine"
    assert fit_name("葡萄酒") == ""


@given(st.text(max_size=100))
def test_a_fit_name_names_an_endpoint_or_is_empty(name: str) -> None:
    fit = fit_name(name)
    if fit and not fit.startswith("databricks-"):
        check_name(fit)
