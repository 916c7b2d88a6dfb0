"""CSV: its header, missing cells, and cells that stay text."""

import csv
import io

import pytest
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema

from tests.worker.input.test_decoder import read
from tests.worker.input.test_values import OPTIONAL, cells, decoded
from tidegate_worker.ipc.refusal import Refusal

WORDS = ["NA", "null", "None", "nan", "NaN", "N/A", "NULL", "n/a", "<NA>", "#N/A"]


def test_words_for_missing_stay_text_in_a_column_of_text() -> None:
    body = "v\n" + "\n".join(WORDS) + "\n"
    assert cells("string", body.encode(), "text/csv") == WORDS


@pytest.mark.parametrize("kind", ["double", "datetime", "boolean"])
def test_words_for_missing_are_missing_elsewhere(kind: str) -> None:
    body = "v\n" + "\n".join(WORDS) + "\n"
    assert cells(kind, body.encode(), "text/csv", required=False) == [None] * len(WORDS)


def test_a_word_for_missing_may_be_base64() -> None:
    assert cells("binary", b"v\nnull\n", "text/csv") == [decoded("null")]


@pytest.mark.parametrize("kind", ["double", "string", None])
def test_a_header_names_each_column_once(kind: str | None) -> None:
    signature = None if kind is None else ModelSignature(Schema([ColSpec(kind, "v")]))
    with pytest.raises(Refusal, match="the same name twice"):
        read(signature, b"v,w,v\n1,2,3\n", "text/csv")


def test_csv_of_columns_without_names_is_read_by_position() -> None:
    signature = ModelSignature(Schema([ColSpec("boolean"), ColSpec("string"), ColSpec("double")]))
    data = read(signature, b"p,q,r,more\ntrue,NA,NA,x\nFalse,,1,y\n", "text/csv").data
    assert data["p"].tolist() == [True, False]
    assert data["q"].tolist()[0] == "NA"
    assert data.isna().to_numpy().tolist() == [[False, False, True], [False, True, False]]


@pytest.mark.parametrize("kind", ["boolean", "double", "float", "string", "binary", "datetime"])
def test_an_empty_cell_of_csv_is_missing(kind: str) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["v", "w"], [OPTIONAL[kind], "1"], ["", "1"]])
    assert cells(kind, text.getvalue().encode(), "text/csv", required=False)[1] is None
