"""The document of an endpoint, from MLmodel files as MLflow writes them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.core.examples import a_config, an_entity
from tidegate.control.endpoints.openapi_document import describe
from tidegate.core.endpoint.endpoint import Route
from tidegate.core.errors import BuildFailed


def a_model(folder: Path, example: Any = None, **signature: Any) -> Path:
    folder.mkdir(exist_ok=True)
    content = {"signature": {part: json.dumps(columns) for part, columns in signature.items()}}
    (folder / "MLmodel").write_text(yaml.safe_dump(content if signature else {"flavors": {}}))
    if example is not None:
        (folder / "serving_input_example.json").write_text(json.dumps(example))
    return folder


def request_of(document: dict[str, Any]) -> dict[str, Any]:
    operation = document["paths"]["/serving-endpoints/wine/invocations"]["post"]
    content: dict[str, Any] = operation["requestBody"]["content"]
    return content


def forms_of(document: dict[str, Any]) -> dict[str, Any]:
    forms = request_of(document)["application/json"]["schema"]["oneOf"]
    return {form["required"][0]: form["properties"][form["required"][0]] for form in forms}


def answer_of(document: dict[str, Any]) -> Any:
    operation = document["paths"]["/serving-endpoints/wine/invocations"]["post"]
    return operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["predictions"]


def test_columns_named_by_integers_are_rows(tmp_path: Path) -> None:
    """No key of an object can be an integer."""
    columns = [{"type": "double", "name": at, "required": True} for at in (0, 1)]
    model = a_model(tmp_path / "m", inputs=columns)
    forms = forms_of(describe("wine", a_config(), {"wine-1": model}))
    assert forms["dataframe_split"]["properties"]["columns"]["items"] == {"enum": [0, 1]}
    assert len(forms["instances"]["items"]["prefixItems"]) == 2


COLUMNS = [
    {"type": "double", "name": "age", "required": True},
    {"type": "string", "name": "city", "required": False},
    {"type": "array", "items": {"type": "long"}, "name": "visits", "required": True},
]


def test_columns(tmp_path: Path) -> None:
    model = a_model(
        tmp_path / "m",
        {"dataframe_split": {"columns": ["age"], "data": [[1.0]]}},
        inputs=COLUMNS,
        outputs=[{"type": "long", "required": True}],
        params=[{"name": "k", "type": "integer", "default": 3, "shape": None}],
    )
    document = describe("wine", a_config(), {"wine-1": model})
    forms = forms_of(document)
    assert list(forms) == ["dataframe_split", "dataframe_records", "instances", "inputs"]
    row = forms["dataframe_records"]["items"]
    assert row["required"] == ["age", "visits"]
    assert row["properties"]["visits"] == {"type": "array", "items": {"type": "integer", "format": "int64"}}
    assert forms["inputs"]["properties"]["city"] == {"type": "array", "items": {"type": "string"}}
    assert forms["dataframe_split"]["properties"]["columns"]["items"] == {"enum": ["age", "city", "visits"]}
    body = request_of(document)["application/json"]
    assert body["example"] == {"dataframe_split": {"columns": ["age"], "data": [[1.0]]}}
    assert body["schema"]["oneOf"][0]["properties"]["params"]["properties"]["k"]["default"] == 3
    assert "text/csv" in request_of(document)
    assert answer_of(document) == {"type": "array", "items": {"type": "integer", "format": "int64"}}


def test_tensors(tmp_path: Path) -> None:
    tensor = {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}
    document = describe("wine", a_config(), {"wine-1": a_model(tmp_path / "m", inputs=[tensor], outputs=[tensor])})
    rows = {
        "type": "array",
        "items": {"type": "array", "items": {"type": ["number", "null"]}, "minItems": 2, "maxItems": 2},
    }
    assert forms_of(document) == {"inputs": rows, "instances": rows}
    assert answer_of(document) == rows
    assert "text/csv" not in request_of(document)


def test_named_tensors(tmp_path: Path) -> None:
    tensor = {"type": "tensor", "name": "x", "tensor-spec": {"dtype": "int32", "shape": [-1]}}
    forms = forms_of(describe("wine", a_config(), {"wine-1": a_model(tmp_path / "m", inputs=[tensor])}))
    assert forms["inputs"]["properties"] == {"x": {"type": "array", "items": {"type": "integer"}}}
    assert forms["instances"]["items"]["properties"] == {"x": {"type": "integer"}}


def test_no_signature(tmp_path: Path) -> None:
    document = describe("wine", a_config(), {"wine-1": a_model(tmp_path / "m")})
    assert list(forms_of(document)) == ["dataframe_split", "dataframe_records", "instances", "inputs"]
    assert answer_of(document) == {}


def test_every_entity_has_a_path_and_the_endpoint_takes_what_the_most_visited_takes(tmp_path: Path) -> None:
    config = a_config(an_entity("a"), an_entity("b", version="2"), routes=(Route("a", 10), Route("b", 90)))
    models = {"a": a_model(tmp_path / "a"), "b": a_model(tmp_path / "b", inputs=COLUMNS)}
    document = describe("wine", config, models)
    assert list(document["paths"]) == [
        "/serving-endpoints/wine/invocations",
        "/serving-endpoints/wine/served-models/a/invocations",
        "/serving-endpoints/wine/served-models/b/invocations",
    ]
    assert forms_of(document)["dataframe_records"]["items"]["required"] == ["age", "visits"]
    ids = [path["post"]["operationId"] for path in document["paths"].values()]
    assert len(set(ids)) == 3


def test_an_example_outside_the_model_is_not_shown(tmp_path: Path) -> None:
    model = a_model(tmp_path / "m", inputs=COLUMNS)
    (tmp_path / "secret.json").write_text('"secret"')
    (model / "link.json").symlink_to(tmp_path / "secret.json")
    for place in (str(tmp_path / "secret.json"), "../secret.json", "link.json", ".", "gone", "\0"):
        content = {"signature": {}, "saved_input_example_info": {"serving_input_path": place}}
        (model / "MLmodel").write_text(yaml.safe_dump(content))
        assert "example" not in request_of(describe("wine", a_config(), {"wine-1": model}))["application/json"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ('{"inputs": [1.5, NaN, -Infinity]}', {"inputs": [1.5, None, None]}),
        ('{"inputs": 1e999}', None),
        (r'{"inputs": "\ud800"}', None),
        ('{"inputs": ' + "[" * 300 + "]" * 300 + "}", None),
        ("[" * 100_000, None),
        ("nonsense", None),
    ],
)
def test_an_example_can_be_sent_or_is_none(tmp_path: Path, written: str, shown: Any) -> None:
    model = a_model(tmp_path / "m", inputs=COLUMNS)
    (model / "serving_input_example.json").write_text(written)
    document = describe("wine", a_config(), {"wine-1": model})
    assert request_of(document)["application/json"].get("example") == shown
    json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2).encode()


@pytest.mark.parametrize(
    "inputs",
    [
        "nonsense", "5", "[1]", '{"a": 1}', '[{"type": "tensor"}]', r'[{"name": "\udfff", "type": "long"}]',
        '[{"type": "tensor", "tensor-spec": {"dtype": "int8", "shape": 7}}]', '[{"type": "array", "items": 7}]',
        '[{"type": "object", "name": "o", "properties": [1]}]', "[" * 100_000,
    ],
)  # fmt: skip
def test_a_signature_that_is_none_of_mlflows_is_none(tmp_path: Path, inputs: str) -> None:
    model = a_model(tmp_path / "m", {"inputs": 1}, inputs=COLUMNS)
    (model / "MLmodel").write_text(yaml.safe_dump({"signature": {"inputs": inputs, "params": inputs}}))
    document = describe("wine", a_config(), {"wine-1": model})
    assert request_of(document)["application/json"]["example"] == {"inputs": 1}
    json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2).encode()


def test_an_mlmodel_beyond_a_bound_is_refused(tmp_path: Path) -> None:
    model = a_model(tmp_path / "m", inputs=COLUMNS)
    (model / "MLmodel").write_text("a: [" + "b," * 20_001 + "]")
    with pytest.raises(BuildFailed, match=r"more than 20,000 values"):
        describe("wine", a_config(), {"wine-1": model})
