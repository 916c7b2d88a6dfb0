"""Payloads that were written by hand, each changed in one place: the mistakes that callers make."""

import copy
import random
from typing import Any

# The values that take the place of another one.
_REPLACEMENTS: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2.0, 2.5, -0.0, 1e300, 2**31, 2**53 + 1, 2**63, "", "a", "1", "2.5", "true", "NaN",
    "2024-01-01", "AA==", "ü", [], [1], [[1, 2]], ["a"], {}, {"a": 1}, {"name": "x"},
)  # fmt: skip
_KEYS = ("a", "x", "n", "index", "columns", "data", "params", "inputs", "dataframe_split")

Place = tuple[Any, Any]  # a list or an object, and the index or key in it


def mutated(payload: Any, source: random.Random) -> Any:
    """A copy with one change."""
    document = copy.deepcopy(payload)
    places = list(_places(document))
    if not places:
        return source.choice(_REPLACEMENTS)
    inside, at = source.choice(places)
    change = source.choice([_replace, _replace, _remove, _repeat, _rename])
    change(inside, at, source)
    return document


def _places(document: Any) -> list[Place]:
    """Everywhere that something stands."""
    keys: list[Any] = []
    if isinstance(document, dict):
        keys = list(document)
    elif isinstance(document, list):
        keys = list(range(len(document)))
    found: list[Place] = [(document, key) for key in keys]
    for key in keys:
        found += _places(document[key])
    return found


def _replace(inside: Any, at: Any, source: random.Random) -> None:
    inside[at] = copy.deepcopy(source.choice(_REPLACEMENTS))


def _remove(inside: Any, at: Any, _source: random.Random) -> None:
    del inside[at]


def _repeat(inside: Any, at: Any, source: random.Random) -> None:
    """The same once more: a row, a value, or an entry under another name."""
    again = copy.deepcopy(inside[at])
    if isinstance(inside, list):
        inside.insert(at, again)
    else:
        inside[source.choice(_KEYS)] = again


def _rename(inside: Any, at: Any, source: random.Random) -> None:
    if isinstance(inside, dict):
        inside[source.choice(_KEYS)] = inside.pop(at)
    else:
        inside.reverse()
