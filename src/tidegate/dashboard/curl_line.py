"""A line for a shell that asks an endpoint, with the model's own example where it has one."""

import json
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

_VARIABLE = "$TIDEGATE_TOKEN"  # stands for the token, which is in no page

_MOST_CHARACTERS = 2000


def curl_line(base: str, endpoint: str, example: object = None) -> str:
    """The line. `base` is the platform's URL. Without an example, or with a long one, it sends the file row.json."""
    body = json.dumps(example) if example is not None else ""
    data = shlex.quote(body) if body and len(body) <= _MOST_CHARACTERS else "@row.json"
    address = shlex.quote(f"{base}/endpoints/{quote(endpoint, safe='')}/invocations")
    header = '-H "Content-Type: application/json"'
    return f'curl -H "Authorization: Bearer {_VARIABLE}" {header} -d {data} {address}'


def example_of(openapi: Mapping[str, Any]) -> object:
    """The first example of a request in an endpoint's OpenAPI document; None where it has none."""
    for item in openapi.get("paths", {}).values():
        content = item.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        for holder in (content, content.get("schema", {})):
            if "example" in holder:
                return holder["example"]
            examples = holder.get("examples")
            if isinstance(examples, Mapping) and examples:
                return next(iter(examples.values())).get("value")
            if isinstance(examples, list) and examples:
                return examples[0]
    return None
