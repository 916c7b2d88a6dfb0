"""Reads a model's YAML and JSON within bounds: whoever logs a model writes them, and control reads them.

Numbers in YAML are read as texts: YAML itself reads the version 3.10 as the number 3.1.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tidegate.bounded_text import MAX_TEXT_BYTES, text_of
from tidegate.core.errors import BuildFailed

MAX_VALUES = 20_000  # of a YAML file: each takes 3 µs, without libyaml 30 µs
_MAX_DEPTH = 100  # levels; libyaml crashes the process where a text has tens of thousands
_KEPT = {"tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"}
# MLflow writes no directives such as `%TAG`, and many of them take a time that grows with their square.
_DIRECTIVE = re.compile(r"(?:^|[\n\r\x85\u2028\u2029])\ufeff?%")
_TYPED = ("bool", "int", "float", "binary", "timestamp")


class NotJson(Exception):
    """The text is no JSON, or none that could be written again."""


class NotYaml(Exception):
    """The text is no YAML."""


class TooManyValues(Exception):
    """The YAML has more than MAX_VALUES values."""


# libyaml's parser, where PyYAML was built with it, is six times as fast.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Texts(_Loader):  # type: ignore[misc]
    """A loader that reads scalars, except null, as texts."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge nothing, so that a `<<` is refused: merges of merges would multiply without end."""


_Texts.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind in _TYPED:  # by a tag such as `!!int`; some of their texts take a time that grows with its square
    _Texts.add_constructor(f"tag:yaml.org,2002:{_kind}", yaml.SafeLoader.construct_yaml_str)


def load_texts(text: str) -> Any:
    """Mappings and lists of texts and None. Raises NotYaml, and TooManyValues before they are built."""
    try:
        _check_bounds(text)
        return yaml.load(text, _Texts)  # noqa: S506  a SafeLoader
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise NotYaml(str(error)) from None


def mapping_of(path: Path, most: int = MAX_TEXT_BYTES) -> dict[str, Any]:
    """The mapping in a YAML file of a model. Raises BuildFailed where it is none, or beyond a bound; and OSError."""
    try:
        content = load_texts(text_of(path, most))
    except (NotYaml, UnicodeDecodeError):
        content = None
    except TooManyValues:
        raise BuildFailed(
            f"The model's file '{path.name}' has more than {MAX_VALUES:,} values. Log the model again."
        ) from None
    if not isinstance(content, dict):
        raise BuildFailed(f"The model's file '{path.name}' is not a YAML mapping. Log the model again.")
    return content


def _check_bounds(text: str) -> None:
    """Raise NotYaml for directives and too many levels, and TooManyValues. Nothing is built of the text meanwhile."""
    if _DIRECTIVE.search(text):
        raise NotYaml("directives")
    depth = values = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.NodeEvent):
            values += 1
        if depth > _MAX_DEPTH:
            raise NotYaml(f"more than {_MAX_DEPTH} levels")
        if values > MAX_VALUES:
            raise TooManyValues


def json_of(text: str) -> Any:
    """The value of a JSON text, which can be written again: NaN and the infinities are null in it.

    Raises NotJson, also for half of a surrogate pair, a number that fits no float, and more than 100 levels.
    """
    try:
        value = json.loads(text, parse_constant=lambda _: None)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from None
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        level = [item for one in level if isinstance(one, dict | list) for item in _items(one)]
        if not level:
            return value
    raise NotJson(f"more than {_MAX_DEPTH} levels")


def _items(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
