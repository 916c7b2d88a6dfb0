"""Snippets that query an endpoint from other programs. None has a token: each reads TIDEGATE_TOKEN."""

import json
import pprint
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A longer request is read from a file, in the snippets.
_LONGEST_BODY = 1500
_FORMS = ("dataframe_records", "instances", "inputs")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A snippet, and the title of its tab."""

    title: str
    id: str
    text: str


def snippets(name: str, base_url: str, path: str, body: Mapping[str, Any] | None) -> tuple[Snippet, ...]:
    """The snippets for a request; those of a long one, or of none, read the file request.json."""
    text = json.dumps(body, ensure_ascii=False) if body is not None else ""
    short = body if text and len(text) <= _LONGEST_BODY else None
    return (
        Snippet("curl", "snippet-curl", _curl(base_url + path, text if short is not None else "")),
        Snippet("Python", "snippet-python", _python(base_url + path, short)),
        Snippet("databricks-sdk", "snippet-sdk", _sdk(name, base_url, short)),
    )


def _curl(url: str, text: str) -> str:
    data = shlex.quote(text) if text else "@request.json"
    return (
        f"curl {shlex.quote(url)} \\\n"
        '  -H "Authorization: Bearer $TIDEGATE_TOKEN" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {data}\n"
    )


def _python(url: str, body: Mapping[str, Any] | None) -> str:
    return (
        f"import os\n{_imports(body)}\nimport requests\n\n"
        f"request = {_literal(body)}\n"
        "answer = requests.post(\n"
        f"    {url!r},\n"
        '    headers={"Authorization": f"Bearer {os.environ[\'TIDEGATE_TOKEN\']}"},\n'
        "    json=request,\n"
        "    timeout=70,\n"
        ")\n"
        "answer.raise_for_status()\n"
        'print(answer.json()["predictions"])\n'
    )


def _sdk(name: str, base_url: str, body: Mapping[str, Any] | None) -> str:
    form = next((form for form in _FORMS if body is not None and form in body), "")
    split = not form and body is not None and "dataframe_split" in body
    if body is None:
        value, argument = _literal(None), "**request"
    elif split:
        value, argument = (
            _indented(body["dataframe_split"]),
            "dataframe_split=DataframeSplitInput.from_dict(request)",
        )
    else:
        value, argument = _indented(body.get(form)), f"{form or 'inputs'}=request"
    imports = "from databricks.sdk.service.serving import DataframeSplitInput\n" if split else ""
    return (
        f"import os\n{_imports(body)}\nfrom databricks.sdk import WorkspaceClient\n{imports}\n"
        f'client = WorkspaceClient(host={base_url!r}, token=os.environ["TIDEGATE_TOKEN"])\n'
        f"request = {value}\n"
        f"answer = client.serving_endpoints.query({name!r}, {argument})\n"
        "print(answer.predictions)\n"
    )


def _imports(body: Mapping[str, Any] | None) -> str:
    return "" if body is not None else "import json\nfrom pathlib import Path\n"


def _literal(body: Mapping[str, Any] | None) -> str:
    """A request as a Python literal, or what reads it from the file."""
    if body is None:
        return 'json.loads(Path("request.json").read_text())'
    return _indented(body)


def _indented(value: object) -> str:
    """A Python literal, indented to stand behind `request = `."""
    return pprint.pformat(value, width=90, sort_dicts=False).replace("\n", "\n" + " " * len("request = "))
