"""Compares the answers of two versions to one request: whether they differ, and by how much.

The values are those of JSON, in which replicas write numbers that are not finite as null. The values at the same place
of many rows are compared as one column, as an answer may have tens of thousands of rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any

# The relative difference up to which two floats count as equal: twice the precision of single floats. Near zero the
# difference is taken relative to the second number, as sums that cancel out end there.
TOLERANCE, _NEAR_ZERO = 1e-5, 1e-3
_LARGEST = int(1.7976931348623157e308)  # float
# Values that are nested deeper are compared as a whole.
_DEEPEST = 100

PREDICTIONS = "predictions"


class Likeness(StrEnum):
    """How alike two answers are."""

    EXACT = "exact"
    CLOSE = "within_tolerance"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """The result of a comparison.

    `new_null`: the answer after has null where the one before has a value. `rows` are the numbers of rows of both
    answers where these differ. `largest` is the largest relative difference of two numbers at the same place.
    """

    likeness: Likeness
    new_null: bool = False
    rows: tuple[int, int] | None = None
    largest: float = 0.0


def difference(before: Any, after: Any) -> Difference:
    """Compare two answers to one request."""
    found = _Found()
    found.pair(before, after, 0)
    likeness = Likeness.CHANGED if found.changed else Likeness.EXACT if found.exact else Likeness.CLOSE
    return Difference(likeness, found.new_null, _rows(before, after), found.largest)


class _Found:
    """The differences so far."""

    __slots__ = ("changed", "exact", "largest", "new_null")

    def __init__(self) -> None:
        self.changed, self.exact, self.new_null, self.largest = False, True, False, 0.0

    def pair(self, one: Any, other: Any, depth: int) -> None:
        """Compare two values at the same place. Values of different shapes are compared as a whole."""
        kind = type(one)
        if kind is not type(other) or depth > _DEEPEST:
            self._leaf(one, other)
        elif kind is list and len(one) == len(other):
            self._column(one, other, depth + 1)
        elif kind is dict and one.keys() == other.keys():
            self._column(list(one.values()), [other[key] for key in one], depth + 1)
        else:
            self._leaf(one, other)

    def _column(self, ones: Sequence[Any], others: Sequence[Any], depth: int) -> None:
        """Compare two columns of the same length."""
        kinds = {*map(type, ones), *map(type, others)}
        if len(kinds) == 1:
            kind = kinds.pop()
            if kind is not list and kind is not dict:
                self._scalars(ones, others)
                return
            if kind is list and list(map(len, ones)) == list(map(len, others)) and depth <= _DEEPEST:
                self._column(list(chain.from_iterable(ones)), list(chain.from_iterable(others)), depth + 1)
                return
            if kind is dict and depth <= _DEEPEST and _same_keys(keys := ones[0].keys(), ones, others):
                for key in keys:
                    self._column([one[key] for one in ones], [other[key] for other in others], depth + 1)
                return
        for one, other in zip(ones, others, strict=True):
            self.pair(one, other, depth)

    def _scalars(self, ones: Sequence[Any], others: Sequence[Any]) -> None:
        """Compare two columns of one scalar type."""
        if ones == others:
            return
        pairs = set(zip(ones, others, strict=True))  # a long column repeats most of its values
        if _are_numbers(ones) and _are_numbers(others):
            self._numbers(pairs)
        else:
            for one, other in pairs:
                self._leaf(one, other)

    def _numbers(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        """What `_leaf` does, for many of one type: without a call it is far quicker."""
        largest, furthest = self.largest, 0.0
        for one, other in pairs:
            if one == other:
                continue
            apart = one - other if one > other else other - one
            one, other = one if one > 0 else -one, other if other > 0 else -other
            share = apart / (max(other, one))
            if share > largest:
                largest = share
            if share > TOLERANCE and apart > furthest:
                furthest = apart
        self.exact, self.largest = False, min(2.0, largest)
        self.changed |= type(one) is int or furthest > TOLERANCE * _NEAR_ZERO

    def _leaf(self, one: Any, other: Any) -> None:
        kind, alike = type(one), type(one) is type(other)
        if alike and one == other:
            return
        self.exact = False
        if not (_is_number(one) and _is_number(other)):
            self.new_null |= other is None
            self.changed = True
            return
        scale, apart = max(abs(one), abs(other)), abs(one - other)
        self.largest = max(self.largest, min(2.0, apart / scale) if scale else 0.0)
        if not alike or kind is int or apart > TOLERANCE * max(scale, _NEAR_ZERO):
            self.changed = True


def _same_keys(keys: Any, ones: Sequence[Any], others: Sequence[Any]) -> bool:
    return all(one.keys() == keys for one in ones) and all(other.keys() == keys for other in others)


def _are_numbers(values: Sequence[Any]) -> bool:
    """Whether values of one type are numbers that fit a float."""
    return type(values[0]) in (int, float) and _is_number(min(values)) and _is_number(max(values))


def _is_number(value: Any) -> bool:
    """Whether a value is a number that fits a float. Some integers are too large."""
    return type(value) is float or (type(value) is int and -_LARGEST <= value <= _LARGEST)


def _rows(before: Any, after: Any) -> tuple[int, int] | None:
    """The numbers of rows of both answers where they differ. The rows are a list, bare or under `predictions`."""
    one, other = (answer.get(PREDICTIONS) if isinstance(answer, dict) else answer for answer in (before, after))
    if isinstance(one, list) and isinstance(other, list) and len(one) != len(other):
        return len(one), len(other)
    return None
