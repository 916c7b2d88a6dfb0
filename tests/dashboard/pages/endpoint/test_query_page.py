"""The query tester: what it shows of a model's signature and example, and the snippets."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.control.endpoints.test_openapi_document import a_model
from tests.core.examples import a_config, an_entity
from tests.dashboard import stories
from tests.dashboard.web_house import WebHouse
from tidegate.control.endpoints.openapi_document import describe
from tidegate.dashboard.pages.endpoint.query_page import Column, QueryPage, first_row, query_page, request_text
from tidegate.dashboard.pages.endpoint.snippets import snippets

URL = "https://example.org/ml"
COLUMNS = [{"type": "double", "name": "age", "required": True}, {"type": "string", "name": "city", "required": False}]
HOSTILE = "'; rm -rf / #</script>\n\u2028`$(id)`\\"


def shown(folder: Path, example: Any = None, **signature: Any) -> QueryPage:
    model = a_model(folder / "m", example, **signature)
    return query_page("wine", describe("wine", a_config(), {"wine-1": model}), URL)


def test_the_models_own_example_and_the_form_of_its_columns_are_shown(tmp_path: Path) -> None:
    example = {"dataframe_split": {"columns": ["age", "city"], "data": [[41.5, "Bath"]]}}
    (way,) = shown(tmp_path, example, inputs=COLUMNS).ways
    assert (json.loads(way.body), way.path) == (example, "/serving-endpoints/wine/invocations")
    assert way.columns == (
        Column("age", "number", "41.5", required=True),
        Column("city", "text", "Bath", required=False),
    )


def test_without_an_example_a_request_is_made_up_from_the_signature(tmp_path: Path) -> None:
    (way,) = shown(tmp_path, inputs=COLUMNS).ways
    assert json.loads(way.body) == {"dataframe_records": [{"age": 0.5, "city": "text"}]}
    assert "Made up" in way.note


def test_what_fits_no_form_is_written_by_hand(tmp_path: Path) -> None:
    tensor = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]
    nested = [{"type": "array", "items": {"type": "long"}, "name": "visits", "required": True}]
    for inputs in (tensor, nested, None):
        (way,) = shown(tmp_path, inputs=inputs).ways
        assert (way.body, way.columns) == ("", ())
        assert "write a request" in way.note
    (long,) = shown(tmp_path, {"inputs": ["x" * 70_000]}).ways
    assert (long.body, "too many to show" in long.note) == ("", True)


def test_each_of_several_served_entities_can_be_asked(tmp_path: Path) -> None:
    config = a_config(an_entity(), an_entity("wine-2", version="2"))
    models = {name: a_model(tmp_path / name) for name in ("wine-1", "wine-2")}
    page = query_page("wine", describe("wine", config, models), URL)
    assert [way.title for way in page.ways] == ["By the traffic split", "wine-1", "wine-2"]
    assert page.ways[2].path == "/serving-endpoints/wine/served-models/wine-2/invocations"


@pytest.mark.parametrize(
    ("example", "row"),
    [
        ({"dataframe_records": [{"a": 1}]}, {"a": 1}),
        ({"inputs": {"a": [1, 2], "b": 3}}, {"a": 1}),
        ({"dataframe_split": {"columns": [0], "data": [[7]]}}, {"0": 7}),
        ({"dataframe_split": {"columns": 3, "data": []}}, {}),
        ({"instances": [3]}, {}),
        ([1], {}),
        (None, {}),
    ],
)
def test_the_first_row_of_an_example_is_found_in_any_form(example: Any, row: dict[str, Any]) -> None:
    assert first_row(example) == row


def test_a_row_of_a_request_is_one_line() -> None:
    example = {"dataframe_split": {"columns": ["a", "é"], "data": [[1, 2.50], [9007199254740993, None]]}, "params": {}}
    text = request_text(example)
    assert text.splitlines() == [
        "{",
        '  "dataframe_split": {',
        '    "columns": ["a", "é"],',
        '    "data": [',
        "      [1, 2.5],",
        "      [9007199254740993, null]",
        "    ]",
        "  },",
        '  "params": {}',
        "}",
    ]
    assert json.loads(text) == example


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": [HOSTILE], "data": [[HOSTILE, None, True, 9007199254740993]]}},
        {"dataframe_records": [{HOSTILE: HOSTILE}]},
        {"inputs": [[1.5] * 40]},
        {"instances": [1], "params": {"x": 1}},
        {"inputs": ["x" * 9000]},
        None,
    ],
)
def test_snippets_hold_the_request_whatever_is_in_it_and_never_a_token(body: dict[str, Any] | None) -> None:
    curl, python, sdk = (one.text for one in snippets("wine", URL, "/serving-endpoints/wine/invocations", body))
    parts = shlex.split(curl.replace("\\\n", " "))
    assert parts[1] == f"{URL}/serving-endpoints/wine/invocations"
    sent = parts[-1]
    if body is None or len(str(body)) > 2000:
        assert sent == "@request.json"
    else:
        assert json.loads(sent) == body
        scope: dict[str, Any] = {}
        exec(compile(python[python.index("request = ") : python.index("answer = ")], "python", "exec"), scope)
        assert scope["request"] == body
    for text in (python, sdk):
        compile(text, "snippet", "exec")
        assert "os.environ" in text


async def test_the_page_shows_a_hostile_example_as_text(web: WebHouse) -> None:
    await stories.with_example(web.house, "wine")
    page = await web.text("/endpoints/wine/query")
    assert "<script>alert" not in page
    assert "&lt;b&gt;region&lt;/b&gt;" in page
    assert 'data-url="/serving-endpoints/wine/invocations"' in page
    assert "$TIDEGATE_TOKEN" in page
    assert "</textarea>" in page.split('<textarea id="body"')[1].split("<script")[0]


async def test_a_model_that_is_not_there_yet_is_told(web: WebHouse) -> None:
    await stories.updating(web.house, "wine")
    await web.house.create("new")
    page = await web.text("/endpoints/new/query")
    assert "its example is not known" in page
    assert "curl" in page
