"""What the worker refuses and where it says so; and where it reads on purpose other than MLflow does."""

import json
from typing import Any

import numpy as np
import pytest
from mlflow.models import ModelSignature

from tests.worker import signatures
from tidegate_worker.input import decoder
from tidegate_worker.input.signature import Signature
from tidegate_worker.ipc import wire
from tidegate_worker.ipc.refusal import Refusal
from tidegate_worker.model.accelerators import fast_json

SECRET = "s3cr3t-value"


class Metadata:
    def __init__(self, signature: ModelSignature | None) -> None:
        self.signature = signature


def read(signature: ModelSignature | None, payload: Any, content_type: str = "") -> decoder.Decoded:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return decoder.decode(body, content_type, Signature.of(Metadata(signature)), fast_json().decode)


def refusal(signature: ModelSignature | None, payload: Any, content_type: str = "") -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(signature, payload, content_type)
    return caught.value


def rows(*data: Any, columns: Any = ("a", "b", "n")) -> Any:
    return {"dataframe_split": {"columns": list(columns), "data": list(data)}}


PLACES: list[tuple[ModelSignature | None, Any, str]] = [
    (signatures.MIXED, rows([1, "x", 1], [1, "x", 1], [SECRET, "x", 1]), 'row 3, column "a": expected double, found a'),
    (signatures.MIXED, rows([1, "x", 1], [1, "x", 2.5]), 'row 2, column "n": expected long, found a number'),
    (signatures.MIXED, rows([1, "x", None]), 'row 1, column "n": expected long, found null'),
    (signatures.MIXED, rows([[1], "x", 1]), 'row 1, column "a": expected double, found a list'),
    (signatures.MIXED, rows([1, {"k": SECRET}, 1]), 'row 1, column "b": expected string, found an object'),
    (signatures.MIXED, rows([1, "x", 1], [1, "x"]), 'row 2: has 2 values, but "columns" has 3.'),
    (signatures.MIXED, rows([1, "x", 1], 5), "row 2: expected a list of values, found a number."),
    (signatures.MIXED, rows(["x", 1], columns=["b", "n"]), 'The required column "a" is missing.'),
    (signatures.MIXED, rows(["x"], columns=["b"]), 'The required columns "a", "n" are missing.'),
    (signatures.MIXED, rows([1, 1], columns=["a", "a"]), "the same name twice"),
    (signatures.MIXED, {"dataframe_split": {"columns": ["a"], SECRET: 1}}, 'must have "data"'),
    (signatures.MIXED, {"dataframe_split": SECRET}, '"dataframe_split" must be an object'),
    (signatures.MIXED, {"dataframe_records": [{"a": 1, "n": 1}, {"a": 1}]}, 'row 2, column "n": expected long'),
    (signatures.MIXED, {"dataframe_records": [{"a": 1, "n": 1}, SECRET]}, "row 2: expected an object, found a string"),
    (signatures.MIXED, {"dataframe_records": {SECRET: 1}}, '"dataframe_records" must be a list of objects'),
    (signatures.MIXED, {"inputs": {"a": [1, SECRET], "n": [1, 2]}}, 'row 2, column "a": expected double'),
    (signatures.MIXED, {"inputs": {"a": [1, 2], "n": [1]}}, "they have from 1 to 2"),
    (signatures.MIXED, {"inputs": {"a": [1], "n": [2.5]}}, 'row 1, column "n": expected long'),
    (signatures.MIXED, {"inputs": [[1, "x", 2]]}, "The model's columns have names"),
    (signatures.MIXED, {"instances": [{"a": 1, "n": "two"}]}, 'row 1, column "n": expected long, found a string'),
    (signatures.MIXED, {**rows([1, "x", 1]), "params": {"scale": SECRET}}, 'param "scale": expected double, found a s'),
    (signatures.MIXED, {**rows([1, "x", 1]), "params": [SECRET]}, '"params" must be an object; it is a list.'),
    (signatures.MIXED, {**rows(), "inputs": SECRET}, 'it has "dataframe_split" and "inputs".'),
    (signatures.MIXED, {SECRET: 1}, "it has none of them."),
    (signatures.MIXED, [SECRET], "it is a list."),
    (signatures.MIXED, b"", "The body is empty."),
    (signatures.MIXED, b" \n", "The body is empty."),
    (signatures.MIXED, b'{"inputs": s3cr3t-value}', "not valid JSON: Expecting value at line 1, column 12."),
    (signatures.MIXED, b'{"inputs": "\xff"}', "not valid UTF-8"),
    (signatures.MIXED, b"[" * 100_000, "nested too deep"),
    (signatures.MIXED, b'{"inputs": ' + b"9" * 5000 + b"}", ""),
    (signatures.UNNAMED, rows([1, 2], [1, SECRET], columns=["p", "q"]), "row 2, value 2: expected double"),
    (signatures.UNNAMED, {"inputs": [[1], [2]]}, "The model takes 2 columns; the table has 1."),
    (signatures.UNNAMED, {"inputs": {SECRET: [1]}}, "The model's columns have no names"),
    (
        signatures.OPTIONAL,
        rows([1, "false"], columns=["x", "z"]),
        'row 1, column "z": expected boolean, found a string',
    ),
    (signatures.OPTIONAL, rows([1, 2], columns=["x", "z"]), 'row 1, column "z": expected boolean, found a number'),
    (signatures.TENSOR, {"inputs": [[1, 2, 3], [1, SECRET, 3]]}, '"inputs", row 2, value 2: expected float64, found a'),
    (signatures.TENSOR, {"inputs": [[1, 2, 3], [1, 2]]}, '"inputs", row 2: lists at the same depth'),
    (signatures.TENSOR, {"inputs": [[1, 2]]}, '"inputs" has the shape (1, 2); the model takes (-1, 3).'),
    (signatures.TENSOR, {"inputs": {SECRET: 1}}, "one array without a name"),
    (signatures.TENSOR, {"inputs": [[1, [2], 3]]}, "lists at the same depth"),
    (signatures.TENSOR_INT, {"inputs": [[1, 2], [3, 4.5]]}, '"inputs", row 2, value 2: expected int64, found a number'),
    (signatures.TENSORS, {"inputs": {"x": [[1, 2]]}}, 'The required input "k" is missing.'),
    (signatures.TENSORS, {"inputs": {"x": [[1, 2]], "k": [None]}}, '"k", row 1: expected int32, found null'),
    (signatures.TENSORS, {"instances": [{"x": [1, 2], "k": 1}, {"x": [1, 2]}]}, "row 2: must have the same keys"),
    (signatures.TENSORS, {"inputs": [[1, 2]]}, "must give each by its name"),
    (signatures.TENSORS, rows([[1, 2], SECRET], columns=["x", "k"]), 'column "k", row 1: expected int32'),
    (signatures.IMAGE, {"inputs": [[[0, 256], [1, 2]]]}, '"pixels", row 1, value 1, 2: expected uint8'),
    (None, {"inputs": [[1, 2], [3]]}, '"inputs", row 2: lists at the same depth'),
    (None, {"dataframe_split": {"data": [[1, 2], [3]]}}, "row 2: has 1 value, but row 1 has 2."),
    (None, {"dataframe_split": {"data": [[1]], "index": [1, 2]}}, '"index"'),
]


@pytest.mark.parametrize(("signature", "payload", "sentence"), PLACES)
def test_a_refusal_says_where_and_repeats_nothing(signature: Any, payload: Any, sentence: str) -> None:
    refused = refusal(signature, payload)
    assert refused.outcome == wire.BAD_REQUEST
    assert sentence in refused.sentence
    assert SECRET not in refused.sentence
    assert "Traceback" not in refused.sentence


HALF = "\ud83d"  # JSON can escape it, and no encoding has it
HALVES: list[tuple[ModelSignature | None, Any, str]] = [
    (None, rows(["x"], [HALF], columns=["t"]), 'row 2, column "t": has'),
    (None, rows(["x", "y"], columns=["t", HALF]), "The name of column 2 has"),
    (None, {"dataframe_split": {"data": [["x"], [HALF]]}}, "row 2, value 1: has"),
    (None, {"dataframe_split": {"index": ["r", HALF], "data": [["x"], ["y"]]}}, 'row 2: its label in "index" has'),
    (None, {"dataframe_records": [{"t": "x"}, {"t": HALF}]}, 'row 2, column "t": has'),
    (None, {"dataframe_records": [{"t": "x", HALF: 1}]}, "The name of column 2 has"),
    (signatures.SINGLE, rows(["x"], [HALF], columns=["prompt"]), 'row 2, column "prompt": has'),
    (signatures.SINGLE, {"dataframe_records": [{"prompt": HALF}]}, 'row 1, column "prompt": has'),
    (signatures.SINGLE, {"inputs": ["x", HALF]}, 'row 2, column "prompt": has'),
    (signatures.SINGLE, {"inputs": {"prompt": [HALF]}}, 'row 1, column "prompt": has'),
    (signatures.SINGLE, {"instances": [{"prompt": HALF}]}, 'row 1, column "prompt": has'),
    (signatures.SINGLE, {"dataframe_records": [{HALF: "x"}]}, 'The required column "prompt" is missing.'),
    (signatures.PAIR, {"inputs": [["x", 1], [HALF, 1]]}, "row 2, value 1: has"),
    (signatures.MIXED, rows([HALF, "x", 1]), 'row 1, column "a": expected double, found a string.'),
]


@pytest.mark.parametrize(("signature", "payload", "sentence"), HALVES)
def test_half_of_a_surrogate_pair_is_refused_where_it_stands(signature: Any, payload: Any, sentence: str) -> None:
    refused = refusal(signature, payload)
    assert refused.outcome == wire.BAD_REQUEST
    assert refused.sentence.startswith(sentence)
    assert "half of a surrogate pair, which is no text." in refused.sentence or " has" not in sentence
    assert HALF not in refused.sentence


def test_text_that_cannot_be_encoded_is_never_the_workers_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_untyped", lambda value, _form: value[0].encode())
    assert refusal(None, {"inputs": [HALF]}).sentence == "The body has half of a surrogate pair, which is no text."


CSV_PLACES = [
    (b"a,b,n\n1.5,x,1\n1.5,x,2.5\n", 'row 2, column "n": expected long, found a string.'),
    (b"a,b,n\n1.5,x,1\n1.5,x,\n", 'row 2, column "n": expected long, found null.'),
    (b"a,b,n\ns3cr3t-value,x,1\n", 'row 1, column "a": expected double, found a string.'),
    (b"a,b,n\n1.5,x\n", "row 1: has 2 values, but the header has 3."),
    (b"a,b,n\n1,x,1\n1,x,1,9\n", "row 2: has 4 values, but the header has 3."),
    (b"b,n\nx,1\n", 'The required column "a" is missing.'),
    (b"\xff", "The body is not valid UTF-8."),
]


@pytest.mark.parametrize(("body", "sentence"), CSV_PLACES)
def test_csv_is_refused_with_its_place(body: bytes, sentence: str) -> None:
    refused = refusal(signatures.MIXED, body, "text/csv")
    assert refused.sentence == sentence


@pytest.mark.parametrize(
    "content_type", ["text/xml", "application/json; charset=latin-1", "text/csv; header=present", "application/jsonl"]
)
def test_other_content_types_are_refused(content_type: str) -> None:
    assert refusal(None, b"{}", content_type).outcome == wire.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "Application/JSON ; Charset=UTF-8", 'application/json;charset="utf-8";']
)
def test_json_is_json_under_many_names(content_type: str) -> None:
    assert decoder.media_type(content_type) == decoder.JSON


# --- on purpose not as MLflow ---


def test_a_list_of_one_around_a_split_is_unwrapped() -> None:
    frame = read(signatures.OPTIONAL, {"dataframe_split": [{"columns": ["x"], "data": [[1.5]]}]}).data
    assert frame["x"].tolist() == [1.5]


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 1e300, "2.5"])
def test_a_long_does_not_wrap_around(value: Any) -> None:
    assert "expected long" in refusal(signatures.MIXED, rows([1, "x", value])).sentence


def test_an_integer_does_not_wrap_around() -> None:
    names = ["flag", "small", "big", "half", "full", "text", "blob", "when"]
    row = [True, 2**31, 1, 1, 1, "", "", "2024-01-01"]
    assert (
        'row 1, column "small": expected integer' in refusal(signatures.EVERY_KIND, rows(row, columns=names)).sentence
    )


def test_a_date_with_a_zone_becomes_utc() -> None:
    names = ["flag", "small", "big", "half", "full", "text", "blob", "when"]
    given = [True, 1, 1, 1, 1, "", "", "2024-01-01T12:00:00+02:00"]
    frame = read(signatures.EVERY_KIND, rows(given, columns=names)).data
    assert frame["when"].tolist()[0].isoformat() == "2024-01-01T10:00:00"


def test_null_in_text_stays_null_in_columns() -> None:
    frame = read(signatures.MIXED, {"inputs": {"a": [1, 2], "b": ["x", None], "n": [1, 2]}}).data
    assert frame["b"].isna().tolist() == [False, True]


def test_integers_are_exact() -> None:
    for form in (
        rows([1, "x", 2**53 + 1]),
        {"inputs": {"a": [1], "n": [2**53 + 1]}},
        {"instances": [{"a": 1, "n": 2**53 + 1}]},
    ):
        assert read(signatures.MIXED, form).data["n"].tolist() == [2**53 + 1]
    assert read(signatures.TENSOR_INT, {"inputs": [[2**53 + 1, -1]]}).data.tolist() == [[2**53 + 1, -1]]


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity"])
def test_bare_literals_are_read(literal: bytes) -> None:
    frame = read(signatures.OPTIONAL, b'{"inputs": {"x": [' + literal + b"]}}").data
    assert not np.isfinite(frame["x"].tolist()[0])


def test_csv_reads_dates_and_binary() -> None:
    header = b"flag,small,big,half,full,text,blob,when\n"
    frame = read(signatures.EVERY_KIND, header + b"TRUE,1,2,0.5,1.5,007,aGk=,2024-02-29\n", "text/csv").data
    assert frame.iloc[0].tolist()[:7] == [True, 1, 2, 0.5, 1.5, "007", b"hi"]
    assert frame["when"].tolist()[0].isoformat() == "2024-02-29T00:00:00"


def test_csv_feeds_a_tensor() -> None:
    frame = read(signatures.TENSOR, b"p,q,r\n1,2,3\n4,5,6\n", "text/csv").data
    assert frame.to_numpy().tolist() == [[1, 2, 3], [4, 5, 6]]
