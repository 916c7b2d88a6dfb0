"""The query tester: the model's own example, a form of its columns, and snippets for other programs.

All comes from the endpoint's OpenAPI document. The request goes from the browser to the gateway, as any caller's does.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.core.errors import Conflict, TidegateError
from tidegate.dashboard.pages.endpoint.endpoint_frame import framed
from tidegate.dashboard.pages.endpoint.snippets import Snippet, snippets
from tidegate.dashboard.site import Site

# The longest request that the page shows, characters, and the most columns that become a form.
_LONGEST_EXAMPLE, _MOST_COLUMNS = 64 * 1024, 40
_KINDS = {"number": "number", "integer": "integer", "boolean": "boolean", "string": "text"}
_MADE_UP: Mapping[str, Any] = {"number": 0.5, "integer": 1, "boolean": True, "text": "text"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the signature as a field of a form. `kind` is a value of _KINDS; `value` is the example's."""

    name: str
    kind: str
    value: str
    required: bool


@dataclass(frozen=True, slots=True)
class Way:
    """One address that answers: the endpoint's own, or that of one served entity.

    `body` is a request to begin with, and `note` says where it comes from. `columns` are empty where the signature has
    none, or none as simple as a form.
    """

    title: str
    path: str
    body: str
    note: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class QueryPage:
    """The view model of the page. `problem` says why there is no example; empty else."""

    ways: tuple[Way, ...]
    snippets: tuple[Snippet, ...]
    problem: str


def query_page(name: str, document: Mapping[str, Any], base_url: str, problem: str = "") -> QueryPage:
    """The view model, from the endpoint's OpenAPI document; `base_url` is the platform's own."""
    own = f"/serving-endpoints/{name}/invocations"
    paths: Mapping[str, Any] = document.get("paths") or {own: {}}
    entities = [path for path in paths if path != own]
    shown = [own, *(entities if len(entities) > 1 else ())]
    ways = tuple(_way(path, own, paths.get(path, {})) for path in shown)
    content = _content(paths.get(own, {}))
    body = content.get("example") or _made_up(_row_schema(content)) or None
    return QueryPage(ways, snippets(name, base_url, own, body), problem)


def _way(path: str, own: str, operation: Mapping[str, Any]) -> Way:
    title = "By the traffic split" if path == own else path.split("/")[-2]
    content = _content(operation)
    row, example = _row_schema(content), content.get("example")
    body, note = "", "The model has no example and no simple signature: write a request in one of MLflow's forms."
    if example is not None:
        body, note = request_text(example), "This is the model's own input example."
        if len(body) > _LONGEST_EXAMPLE:
            body, note = "", f"The model's own example has {len(body):,} characters, too many to show. Write a request."
    elif made_up := _made_up(row):
        body, note = (
            request_text(made_up),
            "Made up from the signature: the model has no example.",
        )
    return Way(title, path, body, note, _columns(row, example))


def request_text(value: Any, indent: str = "") -> str:
    """JSON to be read and changed: an array or object of single values is one line, so that a row is."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not any(isinstance(one, dict | list) and one for one in inner):
        return json.dumps(value, ensure_ascii=False)
    more = f"{indent}  "
    if isinstance(value, dict):
        lines = [f"{json.dumps(key, ensure_ascii=False)}: {request_text(one, more)}" for key, one in value.items()]
    else:
        lines = [request_text(one, more) for one in value]
    inside = f",\n{more}".join(lines)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{more}{inside}\n{indent}{closing}"


def _content(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    content: Mapping[str, Any] = (
        operation.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
    )
    return content


def _row_schema(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of one row of a data frame; empty where the model takes none."""
    for form in content.get("schema", {}).get("oneOf", ()):
        rows = form.get("properties", {}).get("dataframe_records")
        if rows is not None:
            row: Mapping[str, Any] = rows.get("items", {})
            return row
    return {}


def _columns(row: Mapping[str, Any], example: Any) -> tuple[Column, ...]:
    properties, required = row.get("properties", {}), row.get("required", ())
    kinds = {name: _kind(schema) for name, schema in properties.items()}
    if not 0 < len(kinds) <= _MOST_COLUMNS or not all(kinds.values()):
        return ()
    first = first_row(example)
    return tuple(Column(name, kind, _value(first, name, kind), name in required) for name, kind in kinds.items())


def _kind(schema: Mapping[str, Any]) -> str:
    """The kind of a column's field; empty where a field cannot hold it."""
    kind = schema.get("type")
    kinds = [one for one in (kind if isinstance(kind, list) else [kind]) if one != "null"]
    return _KINDS.get(str(kinds[0]), "") if len(kinds) == 1 else ""


def _value(row: Mapping[str, Any], name: str, kind: str) -> str:
    value = row[name] if name in row else _MADE_UP[kind]
    if value is None or isinstance(value, list | dict):
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def first_row(example: Any) -> Mapping[str, Any]:
    """The first row of a request by column; empty where it has no columns."""
    request = example if isinstance(example, dict) else {}
    split, inputs = request.get("dataframe_split"), request.get("inputs")
    rows = request.get("dataframe_records") or request.get("instances")
    if isinstance(split, dict):
        names, data = split.get("columns"), split.get("data")
        if isinstance(names, list) and isinstance(data, list) and data and isinstance(data[0], list):
            return {str(name): value for name, value in zip(names, data[0], strict=False)}
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        return rows[0]
    if isinstance(inputs, dict):
        return {name: values[0] for name, values in inputs.items() if isinstance(values, list) and values}
    return {}


def _made_up(row: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = row.get("properties", {})
    kinds = {name: _kind(schema) for name, schema in properties.items()}
    if not kinds or not all(kinds.values()):
        return {}
    return {"dataframe_records": [{name: _MADE_UP[kind] for name, kind in kinds.items()}]}


def routes(site: Site) -> list[Route]:
    """The routes of the page."""

    async def show(request: Request) -> Response:
        name = request.path_params["name"]
        view, values = await framed(site, name, "Query")
        problem, document = "", dict[str, Any]()
        try:
            document = await site.sources.endpoints.openapi(name)
        except Conflict:
            problem = "The model is not there yet, so its example is not known. Come back when it is ready."
        except TidegateError as error:
            problem = error.message
        if view.endpoint.active is None and not problem:
            problem = "Nothing serves yet: a request gets 503 until the first version is ready."
        shown = await asyncio.to_thread(query_page, name, document, site.base_url(request), problem)
        chosen = request.query_params.get("way", "")
        at = int(chosen) if chosen.isascii() and chosen.isdigit() and len(chosen) < 3 else 0
        way = shown.ways[min(at, len(shown.ways) - 1)]
        return site.page(request, "query_page.html", values | {"view": shown, "way": way}, section="Endpoints")

    return [Route("/endpoints/{name}/query", show)]
