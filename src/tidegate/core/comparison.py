"""Two versions' answers to one request side by side: what changed, by how much, and of what shape they are.

Values are those of JSON. A number that is not finite has no JSON form: replicas write it as null.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# Floats may lie so far apart, relative to the larger, and still count as the same: twice what single precision gives.
# Below this share of the tolerance, times one, a difference counts as none: sums that cancel end near zero.
TOLERANCE, _NEAR_ZERO = 1e-5, 1e-3
_LARGEST = 1.7976931348623157e308  # float
# An object with more keys than this is a map: its keys are data, not schema.
_MOST_FIELDS = 64

PREDICTIONS = "predictions"

Schema = Mapping[str, frozenset[str]]
"""The JSON types found at each place of an answer: `predictions[].score` → {"float"}."""


class Likeness(StrEnum):
    """How two answers compare."""

    EXACT = "exact"
    CLOSE = "within_tolerance"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """What a comparison found. `new_null`: where there was a value, there is none. `rows` are those of both answers
    where their numbers differ. `largest` is the largest relative difference of two numbers in the same place.
    """

    likeness: Likeness
    new_null: bool = False
    rows: tuple[int, int] | None = None
    largest: float = 0.0


def difference(before: Any, after: Any) -> Difference:
    """Compare two answers to one request."""
    largest, changed, new_null, exact = 0.0, False, False, True
    for one, other in _leaves(before, after):
        if type(one) is type(other) and one == other:
            continue
        exact = False
        new_null |= other is None
        if not (_is_number(one) and _is_number(other)):
            changed = True
            continue
        scale = max(abs(one), abs(other))
        largest = max(largest, min(2.0, abs(one - other) / scale) if scale else 0.0)
        changed |= abs(one - other) > TOLERANCE * max(scale, _NEAR_ZERO) or (
            type(one) is not type(other) or not isinstance(one, float)
        )
    likeness = Likeness.CHANGED if changed else Likeness.EXACT if exact else Likeness.CLOSE
    return Difference(likeness, new_null, _rows(before, after), largest)


def schema_of(answer: Any) -> Schema:
    """The schema of one answer."""
    found: dict[str, set[str]] = {}
    for path, kind in _kinds(answer, ""):
        found.setdefault(path, set()).add(kind)
    return {path: frozenset(kinds) for path, kinds in found.items()}


def joined(one: Schema, other: Schema) -> Schema:
    """The schema of answers of both."""
    return {path: one.get(path, frozenset()) | other.get(path, frozenset()) for path in one.keys() | other.keys()}


def changes(before: Schema, after: Schema) -> list[str]:
    """What is otherwise in the schema after, as phrases; the number of nulls is not the schema's matter."""
    found = []
    for path in sorted(before.keys() | after.keys()):
        was, now = (one.get(path, frozenset()) - {"null"} for one in (before, after))
        if path not in after:
            found.append(f"{path} is gone")
        elif path not in before:
            found.append(f"{path} is new ({_either(now)})" if now else f"{path} is new")
        elif was and not now <= was:
            found.append(f"{path} is {_either(now)} instead of {_either(was)}")
    return found


# ---


def _leaves(before: Any, after: Any) -> Iterator[tuple[Any, Any]]:
    """Pairs of values in the same place; where shapes differ, the two parts that do."""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from _leaves(one, other)
    elif isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        for key, one in before.items():
            yield from _leaves(one, after[key])
    else:
        yield before, after


def _is_number(value: Any) -> bool:
    """Whether it can be reckoned with: an integer that is larger than all floats cannot."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _rows(before: Any, after: Any) -> tuple[int, int] | None:
    """Of answers with an item for each row: in a list under `predictions`, or, of older products, in a bare one."""
    one, other = (answer.get(PREDICTIONS) if isinstance(answer, dict) else answer for answer in (before, after))
    if isinstance(one, list) and isinstance(other, list) and len(one) != len(other):
        return len(one), len(other)
    return None


_KINDS = {bool: "boolean", int: "integer", float: "float", str: "string", list: "array", dict: "object"}


def _kinds(value: Any, path: str) -> Iterator[tuple[str, str]]:
    yield path or "the answer", _KINDS.get(type(value), "null")
    if isinstance(value, list):
        for item in value:
            yield from _kinds(item, f"{path}[]")
    elif isinstance(value, dict):
        is_map = len(value) > _MOST_FIELDS
        for key, item in value.items():
            yield from _kinds(item, f"{path}.{'*' if is_map else key}" if path else str(key))


def _either(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))
