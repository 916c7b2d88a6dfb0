"""Two versions' answers to one request side by side: what changed, and by how much.

Values are those of JSON. A number that is not finite has no JSON form: replicas write it as null. Values in the same
place of many rows are looked at together, as an answer may have tens of thousands of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any

# Floats may lie so far apart, relative to the larger, and still count as the same: twice what single precision gives.
# Below this share of the tolerance, times one, a difference counts as none: sums that cancel end near zero.
TOLERANCE, _NEAR_ZERO = 1e-5, 1e-3
_LARGEST = int(1.7976931348623157e308)  # float
# What is nested deeper is compared as a whole.
_DEEPEST = 100

PREDICTIONS = "predictions"


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
    found = _Found()
    found.pair(before, after, 0)
    likeness = Likeness.CHANGED if found.changed else Likeness.EXACT if found.exact else Likeness.CLOSE
    return Difference(likeness, found.new_null, _rows(before, after), found.largest)


class _Found:
    """What was found so far."""

    __slots__ = ("changed", "exact", "largest", "new_null")

    def __init__(self) -> None:
        self.changed, self.exact, self.new_null, self.largest = False, True, False, 0.0

    def pair(self, one: Any, other: Any, depth: int) -> None:
        """Two values in the same place; where shapes differ, they count as a whole."""
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
        """As many values as others, each in the place of one of those."""
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
        """Of one type, which is no list and no object."""
        if ones == others:
            return
        pairs = set(zip(ones, others, strict=True))  # in a long list, most come again and again
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
    """Whether values of one type can be reckoned with."""
    return type(values[0]) in (int, float) and _is_number(min(values)) and _is_number(max(values))


def _is_number(value: Any) -> bool:
    """Whether it can be reckoned with: an integer that is larger than all floats cannot."""
    return type(value) is float or (type(value) is int and -_LARGEST <= value <= _LARGEST)


def _rows(before: Any, after: Any) -> tuple[int, int] | None:
    """Of answers with an item for each row: in a list under `predictions`, or, of older products, in a bare one."""
    one, other = (answer.get(PREDICTIONS) if isinstance(answer, dict) else answer for answer in (before, after))
    if isinstance(one, list) and isinstance(other, list) and len(one) != len(other):
        return len(one), len(other)
    return None
