"""The same payloads to MLflow's own scoring server and to the worker: same status, and the model is given the same."""

import json
from typing import Any

import httpx
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc import scoring_server

from tests.worker import signatures
from tests.worker.echo import echo, echo_model
from tidegate_worker.ipc import wire

STATUS = {wire.OK: 200, wire.BAD_REQUEST: 400, wire.UNSUPPORTED_MEDIA_TYPE: 415}

SIGNATURES: dict[str, ModelSignature | None] = {
    "mixed": signatures.MIXED,
    "every": signatures.EVERY_KIND,
    "optional": signatures.OPTIONAL,
    "unnamed": signatures.UNNAMED,
    "single": signatures.SINGLE,
    "compound": signatures.COMPOUND,
    "tensor": signatures.TENSOR,
    "tensors": signatures.TENSORS,
    "image": signatures.IMAGE,
    "dates": signatures.DATES,
    "answered": signatures.ANSWERED,
    "numbered": signatures.NUMBERED,
    "numbered alone": signatures.NUMBERED_ALONE,
    "numbered mixed": signatures.NUMBERED_MIXED,
    "numbered backwards": signatures.NUMBERED_BACKWARDS,
    "names of both kinds": signatures.NAMES_OF_BOTH_KINDS,
    "none": None,
}

EVERY = [True, 7, 9007199254740993, 0.5, 1.25, "é", "aGVsbG8=", "2024-02-29T12:30:00"]
EVERY_NAMES = ["flag", "small", "big", "half", "full", "text", "blob", "when"]


def split(columns: list[Any], *rows: list[Any], **more: Any) -> dict[str, Any]:
    return {"dataframe_split": {"columns": columns, "data": list(rows), **more}}


DATED = ["when", "blob", "flag"]
NUMBERED = ("numbered", "numbered alone", "numbered mixed", "numbered backwards", "names of both kinds")
BY_NUMBER: list[Any] = [
    split([0, 1], [1, 2], [3, 4]),
    split([1, 0], [1, 2]),
    split([0, 1, 2], [1, 2, 3]),
    split([1, 2], [1, 2]),
    split(["0", "1"], [1, 2]),
    split([10, 20], ["x", 2.5]),
    split([0, "b"], [1, 2]),
    split([0.0, 1.0], [1, 2]),
    split([0], [1]),
    {"dataframe_split": {"data": [[1, 2], [3, 4]]}},
    {"dataframe_split": {"data": [[1, 2, 3]]}},
    {"dataframe_split": {"data": [1, 2]}},
    {"dataframe_records": [{"0": 1, "1": 2}]},
    {"dataframe_records": [[1, 2]]},
    {"inputs": [[1, 2], [3, 4]]},
    {"inputs": [[1, 2, 3]]},
    {"inputs": [[1]]},
    {"inputs": [1, 2]},
    {"inputs": 1},
    {"inputs": []},
    {"inputs": [[1, "x"]]},
    {"inputs": {"0": [1], "1": [2]}},
    {"inputs": [{"0": 1, "1": 2}]},
    {"instances": [[1, 2], [3, 4]]},
    {"instances": {"0": [1], "1": [2]}},
    {"instances": [{"0": 1, "1": 2}]},
]

CASES: list[tuple[str, Any]] = [
    # named columns
    ("mixed", split(["a", "b", "n"], [1.5, "x", 2])),
    ("mixed", split(["n", "b", "a"], [2, "x", 1.5], [3, None, -1])),
    ("mixed", split(["a", "b", "n"], [1.5, "x", 2], index=[7])),
    ("mixed", split(["a", "n"], [1, 2])),
    ("mixed", split(["a", "b", "n"], ["2.5", "x", "3"])),
    ("mixed", split(["a", "b", "n"], [True, 5, False])),
    ("mixed", split(["a", "b", "n"], [1.5, "x", 2.0])),
    ("mixed", split(["a", "b", "n"], [1.5, "x", 9007199254740993])),
    ("mixed", split(["a", "b", "n"], [None, None, 1])),
    ("mixed", split(["a", "b", "n", "other"], [1.5, "x", 2, "?"])),
    ("mixed", split(["a", "b", "n"])),
    ("mixed", {**split(["a", "n"], [1.5, 2]), "client_request_id": "7", "usage_context": {"u": 1}}),
    ("mixed", {**split(["a", "n"], [1.5, 2]), "params": {"boom": True, "unknown": 1}}),
    ("mixed", {**split(["a", "n"], [1.5, 2]), "params": {"scale": 2}}),
    ("mixed", {**split(["a", "n"], [1.5, 2]), "params": {"scale": "big"}}),
    ("mixed", {**split(["a", "n"], [1.5, 2]), "params": [1]}),
    ("mixed", {**split(["a", "n"], [1.5, 2]), "params": None}),
    ("mixed", {"dataframe_records": [{"a": 1.5, "b": "x", "n": 2}, {"n": 3, "a": 2}]}),
    ("mixed", {"dataframe_records": []}),
    ("mixed", {"dataframe_records": {"a": 1.5}}),
    ("mixed", {"inputs": {"a": [1.5, 2], "b": ["x", "y"], "n": [1, 2]}}),
    ("mixed", {"inputs": {"a": 1.5, "b": "x", "n": 2}}),
    ("mixed", {"inputs": {"a": [1, 2], "b": [5, True], "n": [1, 2]}}),
    ("mixed", {"inputs": [{"a": 1.5, "b": "x", "n": 2}, {"a": 2, "b": "y", "n": 3}]}),
    ("mixed", {"inputs": {"a": [1.5, 2], "n": [1]}}),
    ("mixed", {"inputs": [[1.5, "x", 2]]}),
    ("mixed", {"instances": [{"a": 1.5, "b": "x", "n": 2}, {"a": 2, "b": "y", "n": 3}]}),
    ("mixed", {"instances": []}),
    ("mixed", split(["a", "b", "n"], ["hello", "x", 2])),
    ("mixed", split(["a", "b", "n"], [1.5, "x", None])),
    ("mixed", split(["b", "n"], ["x", 2])),
    ("mixed", split(["a", "b", "n"], [1.5, "x", 2, 9])),
    ("mixed", {"dataframe_split": {"columns": ["a"]}}),
    ("mixed", {"dataframe_split": {"columns": ["a", "n"], "data": [[1.5, 2]], "colour": 1}}),
    ("mixed", {"dataframe_split": "x"}),
    ("mixed", {**split(["a", "n"], [1.5, 2]), "inputs": []}),
    ("mixed", {"columns": ["a", "n"], "data": [[1.5, 2]]}),
    ("mixed", {}),
    ("mixed", [1]),
    ("mixed", 5),
    ("mixed", None),
    # every type
    ("every", split(EVERY_NAMES, EVERY, EVERY)),
    ("every", {"dataframe_records": [dict(zip(EVERY_NAMES, EVERY, strict=True))]}),
    ("every", {"inputs": {name: [value] for name, value in zip(EVERY_NAMES, EVERY, strict=True) if name != "blob"}}),
    ("every", {"inputs": {**{name: [value] for name, value in zip(EVERY_NAMES, EVERY, strict=True)}, "blob": ["raw"]}}),
    ("every", split(EVERY_NAMES, [*EVERY[:7], "not a date"])),
    ("every", split(EVERY_NAMES, [*EVERY[:7], None])),
    ("every", split(EVERY_NAMES, [*EVERY[:6], 5, EVERY[7]])),
    ("every", split(EVERY_NAMES, [1, 7, 1, 1, 1, "", "", "2024-01-01"])),
    # optional columns
    ("optional", split(["x"], [1.5])),
    ("optional", split(["x", "y", "z"], [1.5, None, True], [2.5, 1, False])),
    ("optional", {"inputs": {"x": [1.5, 2.5]}}),
    # dates and base64
    ("dates", split(DATED, ["2024-01-01T12:00:00.5", "aGk=", True], ["2024-01-02T00:00:00.25", "", False])),
    ("dates", split(DATED, ["01/02/2024", "aGk=", True])),
    ("dates", split(DATED, [1_704_067_200_000, "aGk=", True])),
    ("dates", split(DATED, [1_704_067_200_000_000_000, "aGk=", True])),
    ("dates", split(DATED, ["9999-12-31", "aGk=", True])),
    ("dates", split(DATED, ["0001-01-01", "aGk=", True])),
    ("dates", split(DATED, ["2024-02-30", "aGk=", True])),
    ("dates", split(DATED, [True, "aGk=", True])),
    ("dates", split(DATED, [None, "aGk=", True])),
    ("dates", split(DATED, ["2024-01-01", "a", True])),
    ("dates", split(DATED, ["2024-01-01", None, True])),
    ("dates", split(DATED, ["2024-01-01", "aGVs\nbG8=\n", True])),
    ("dates", {"inputs": {"when": ["2024-01-01", "2024-01-01T12:00:00"], "blob": ["r", "s"], "flag": [True, False]}}),
    ("dates", {"inputs": {"when": ["2024-02-30"], "blob": ["r"], "flag": [True]}}),
    ("dates", {"instances": [{"when": "2024-01-01 10:00", "blob": "r", "flag": True}]}),
    ("answered", split(["yes"], [True], [False])),
    ("answered", split(["blob"], ["aGk="])),
    # columns named by integers
    *[(name, document) for name in NUMBERED for document in BY_NUMBER],
    # columns without names
    ("unnamed", split(["p", "q"], [1, 2.5])),
    ("unnamed", {"dataframe_split": {"data": [[1, 2.5]]}}),
    ("unnamed", {"inputs": [[1, 2.5], [3, 4]]}),
    ("unnamed", {"instances": [[1, 2.5], [3, 4]]}),
    ("unnamed", {"inputs": {"a": [1]}}),
    ("unnamed", {"inputs": [[1]]}),
    # one string column
    ("single", {"inputs": ["hello", "you"]}),
    ("single", {"instances": ["hello"]}),
    ("single", {"inputs": {"prompt": "hello"}}),
    ("single", {"inputs": {"prompt": ["hello", "you"]}}),
    ("single", {"inputs": []}),
    # lists, objects, maps
    ("compound", {"dataframe_records": [{"id": 1, "tags": ["a", "b"], "item": {"name": "x", "size": 1.5}}]}),
    ("compound", {"dataframe_records": [{"id": 1, "tags": [], "item": {"name": "x"}, "counts": {"k": 1}, "extra": 1}]}),
    ("compound", split(["id", "tags", "item"], [1, ["a"], {"name": "x"}], [2, ["b", "c"], {"name": "y"}])),
    ("compound", {"dataframe_records": [{"id": 1, "tags": "a", "item": {"name": "x"}}]}),
    ("compound", {"dataframe_records": [{"id": 1, "tags": ["a"], "item": {"size": 1.0}}]}),
    ("compound", {"inputs": {"id": 1, "tags": ["a", "b"], "item": {"name": "x"}}}),
    # tensors
    ("tensor", {"inputs": [[1, 2, 3], [4, 5, 6]]}),
    ("tensor", {"instances": [[1, 2.5, 3]]}),
    ("tensor", {"inputs": [["1", "2", "3"]]}),
    ("tensor", {"inputs": [[1, 2]]}),
    ("tensor", {"inputs": [[1, 2, 3], [4, 5]]}),
    ("tensor", {"inputs": [["a", 2, 3]]}),
    ("tensor", {"inputs": {"x": [[1, 2, 3]]}}),
    ("tensor", {"inputs": 5}),
    ("tensor", split(["p", "q", "r"], [1, 2, 3], [4, 5, 6])),
    ("tensor", split(["p", "q"], [1, 2])),
    ("tensor", split(["p"], [[1, 2, 3]], [[4, 5, 6]])),
    ("tensors", {"inputs": {"x": [[1, 2], [3, 4]], "k": [1, 2]}}),
    ("tensors", {"inputs": {"x": [[1, 2], [3, 4]], "k": [1, 2], "more": [0]}}),
    ("tensors", {"instances": [{"x": [1, 2], "k": 1}, {"x": [3, 4], "k": 2}]}),
    ("tensors", {"instances": [{"x": [1, 2], "k": 1}, {"x": [3, 4]}]}),
    ("tensors", {"inputs": {"x": [[1, 2]]}}),
    ("tensors", {"inputs": [[1, 2]]}),
    ("tensors", split(["x", "k"], [[1, 2], 1], [[3, 4], 2])),
    ("image", {"inputs": {"pixels": [[[0, 255], [1, 2]]]}}),
    ("image", {"inputs": [[[0, 255], [1, 2]]]}),
    ("image", {"instances": [[[0, 256], [1, 2]]]}),
    # no signature
    ("none", split(["a", "b"], [1, "x"], [2.5, None])),
    ("none", {"dataframe_records": [{"a": 1}, {"b": True}]}),
    ("none", {"dataframe_records": []}),
    ("none", {"inputs": [[1, 2], [3, 4.5]]}),
    ("none", {"inputs": {"a": [1, 2], "b": ["x", "y"]}}),
    ("none", {"inputs": [{"a": 1, "b": "x"}]}),
    ("none", {"inputs": []}),
    ("none", {"instances": []}),
    ("none", {"inputs": 5}),
    ("none", {"inputs": "text"}),
    ("none", {"inputs": [[1, 2], [3]]}),
    ("none", {"instances": [{"a": 1, "b": [1, 2]}, {"a": 2, "b": [3, 4]}]}),
    ("none", {"instances": [[1, 2], [3, 4]]}),
    ("none", {"instances": ["a", "b"]}),
    ("none", {**split(["a"], [1]), "params": {"k": 1}}),
]  # fmt: skip

RAW: list[tuple[str, str, bytes]] = [
    ("mixed", "application/json", b""),
    ("mixed", "application/json", b"{nope"),
    ("mixed", "application/json", b"\xff\xfe\xfd"),
    ("mixed", "application/json", b'{"dataframe_split": {"columns": ["a", "n"], "data": [[NaN, 2], [-Infinity, 3]]}}'),
    ("mixed", "application/json; charset=utf-8", b'{"inputs": {"a": [1], "n": [2]}}'),
    ("mixed", "application/json; charset=latin-1", b"{}"),
    ("mixed", "application/json; format=pandas-split", b"{}"),
    ("mixed", "text/xml", b"<a/>"),
    ("mixed", "text/csv", b"a,b,n\n1.5,x,2\n,y,3\n"),
    ("mixed", "text/csv", b"n,a,b\n2,1,\n"),
    ("mixed", "text/csv", b"a,b,n\n1.5,x,y\n"),
    ("mixed", "text/csv", b"a,b,n\n1.5,x,2.5\n"),
    ("mixed", "text/csv", b"a,b,n\n1.5,x,\n"),
    ("mixed", "text/csv", b""),
    ("mixed", "text/csv", b"b,n\nx,2\n"),
    ("mixed", "text/csv", b"a,b,n\n1.5,x,2,9,9,9\n1,2\n"),
    ("optional", "text/csv", b"x,y,z\n1.5,2,true\n1,2,False\n"),
    ("none", "text/csv", b"a,b\n1,x\n2.5,\n"),
    ("none", "text/csv", b"a,b\nNA,null\n2.5,x\n"),
    ("mixed", "text/csv", b"a,b,n\nNA,x,1\n1.5,y,2\n"),
]


async def ask_mlflow(name: str, content_type: str, body: bytes) -> tuple[int, Any]:
    return await ask_mlflow_with(SIGNATURES[name], content_type, body)


async def ask_mlflow_with(signature: ModelSignature | None, content_type: str, body: bytes) -> tuple[int, Any]:
    app = scoring_server.init(echo(signature))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://mlflow") as client:
        answer = await client.post("/invocations", content=body, headers={"content-type": content_type})
    return answer.status_code, described(answer.content) if answer.status_code == 200 else None


def ask_worker(name: str, content_type: str, body: bytes) -> tuple[int, Any]:
    meta = wire.pack_meta([("content-type", content_type), ("request-id", "r1")])
    answer = echo_model(SIGNATURES[name]).answer(wire.Request(1, 1000, 0, meta, body))
    return STATUS[answer.outcome], described(answer.body) if answer.outcome == wire.OK else None


def described(body: bytes) -> Any:
    """The described input. Text may be `object` or pandas 3's `str`: MLflow has one or the other by the form."""
    given = json.loads(body)["predictions"]
    if isinstance(given["data"], dict) and "dtypes" in given["data"]:
        given["data"]["dtypes"] = ["object" if dtype == "str" else dtype for dtype in given["data"]["dtypes"]]
    return given


@pytest.mark.parametrize(("name", "payload"), CASES)
async def test_reads_json_as_mlflow_does(name: str, payload: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    body = json.dumps(payload).encode()
    assert ask_worker(name, "application/json", body) == await ask_mlflow(name, "application/json", body)


@pytest.mark.parametrize(("name", "content_type", "body"), RAW)
async def test_reads_bodies_as_mlflow_does(
    name: str, content_type: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    assert ask_worker(name, content_type, body) == await ask_mlflow(name, content_type, body)
