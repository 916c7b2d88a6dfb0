"""Two answers side by side: what is the same, what is close enough, and what changed of their shape."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.comparison import TOLERANCE, Difference, Likeness, Schema, changes, difference, joined, schema_of

EXACT, CLOSE, CHANGED = Likeness.EXACT, Likeness.CLOSE, Likeness.CHANGED

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from(["boolean", "integer", "float", "string", "null", "array", "object"])
SCHEMAS: st.SearchStrategy[Schema] = st.dictionaries(
    st.sampled_from(["the answer", "a", "b", "a[]"]), st.frozensets(KINDS, min_size=1)
)


def likeness(before: object, after: object) -> Likeness:
    return difference(before, after).likeness


# --- values


@given(JSON)
def test_what_is_the_same_is_exact(answer: object) -> None:
    assert difference(answer, answer) == Difference(EXACT)


@given(JSON, JSON)
def test_any_two_answers_can_be_compared_both_ways(one: object, other: object) -> None:
    there, back = difference(one, other), difference(other, one)
    assert there.likeness is back.likeness
    assert there.largest == back.largest <= 2.0
    assert (there.rows and there.rows[::-1]) == back.rows
    assert there.likeness is not EXACT or not (there.new_null or there.rows or there.largest)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (100.0, 100.0009, CLOSE),
        (100.0, 100.0011, CHANGED),
        (-100.0, -100.0009, CLOSE),
        (1.0, -1.0, CHANGED),
        (0.0, -0.0, EXACT),  # as one is the other
        (0.0, 0.9e-8, CLOSE),  # sums that cancel end near zero
        (0.0, 1.1e-8, CHANGED),
        (1e-9, 2e-9, CLOSE),
        (1, 1.0, CHANGED),  # another type
        (100_000_000, 100_000_001, CHANGED),  # an integer is no measurement
        (True, 1, CHANGED),
        (1.0, True, CHANGED),
        ("1", 1, CHANGED),
        ("a", "a", EXACT),
        ("a", "b", CHANGED),
        (None, None, EXACT),
        (10**400, 10**400, EXACT),
        (10**400, 10**400 + 1, CHANGED),
        (10**400, 1.5, CHANGED),
    ],
)
def test_pairs(before: object, after: object, found: Likeness) -> None:
    assert likeness(before, after) is likeness(after, before) is found
    assert likeness({"p": [[before]]}, {"p": [[after]]}) is found


@given(st.floats(1e-3, 1e300), st.floats(0, 2))
def test_the_tolerance_is_relative_to_the_larger(value: float, share: float) -> None:
    other = value * (1 - share * TOLERANCE)
    found = difference(value, other)
    if share < 0.99:
        assert found.likeness is (EXACT if other == value else CLOSE)
    elif share > 1.01:
        assert found.likeness is CHANGED
    assert found.largest == pytest.approx(share * TOLERANCE, abs=1e-9)


def test_one_value_that_changed_changes_the_answer_and_the_largest_difference_is_told() -> None:
    assert difference([1.0, 2.0, "a"], [1.000001, 4.0, "a"]) == Difference(CHANGED, largest=0.5)
    assert difference([1.0, 2.0], [1.000001, 2.0]).largest == pytest.approx(1e-6, rel=1e-3)


def test_the_largest_difference_is_a_number_however_far_apart_two_are() -> None:
    assert difference(1.7e308, -1.7e308) == Difference(CHANGED, largest=2.0)
    assert difference(10**308, -(10**308)) == Difference(CHANGED, largest=2.0)


def test_a_value_that_is_missing_now_is_told_and_one_that_was_missing_is_not() -> None:
    assert difference({"p": [1.0, None]}, {"p": [None, None]}) == Difference(CHANGED, new_null=True)
    assert difference({"p": [None]}, {"p": [1.0]}) == Difference(CHANGED)
    assert difference({"p": [1.0]}, {"p": None}).new_null


@pytest.mark.parametrize(
    ("before", "after", "rows"),
    [
        ({"predictions": [1, 2]}, {"predictions": [1]}, (2, 1)),
        ({"predictions": []}, {"predictions": [1]}, (0, 1)),
        ([1, 2], [1, 2, 3], (2, 3)),  # of an older product
        ({"predictions": [[1, 2]]}, {"predictions": [[1]]}, None),  # one row each
        ({"predictions": [1]}, {"predictions": {"0": 1}}, None),
        ({"other": [1]}, {"other": [1, 2]}, None),
    ],
)
def test_another_number_of_rows_is_told(before: object, after: object, rows: tuple[int, int] | None) -> None:
    assert difference(before, after) == Difference(CHANGED, rows=rows)


# --- schema


def test_the_schema_has_the_types_at_each_place() -> None:
    answer = {"predictions": [{"score": 1.5, "label": "a"}, {"score": None, "label": "b"}], "n": 2, "ok": True}
    assert schema_of(answer) == {
        "the answer": {"object"},
        "predictions": {"array"},
        "predictions[]": {"object"},
        "predictions[].score": {"float", "null"},
        "predictions[].label": {"string"},
        "n": {"integer"},
        "ok": {"boolean"},
    }


def test_the_keys_of_a_large_object_are_data() -> None:
    fields = {str(number): 1.5 for number in range(64)}
    assert len(schema_of({"p": fields})) == 66
    assert schema_of({"p": {**fields, "64": 1}})["p.*"] == {"float", "integer"}
    assert changes(schema_of({"p": {**fields, "a": 1.5}}), schema_of({"p": {**fields, "b": 1.5}})) == []


@pytest.mark.parametrize(
    ("before", "after", "phrases"),
    [
        ({"a": 1.5, "b": 1}, {"a": 1.5}, ["b is gone"]),
        ({"a": 1.5}, {"a": 1.5, "b": 1}, ["b is new (integer)"]),
        ({"a": 1.5}, {"a": 1.5, "b": None}, ["b is new"]),
        ({"a": 1.5}, {"a": "x"}, ["a is string instead of float"]),
        ({"a": [1.5, "x"]}, {"a": [1.5, True]}, ["a[] is boolean or float instead of float or string"]),
        ({"a": [1.5, "x"]}, {"a": [1.5, 2.5]}, []),  # fewer types break nobody
        ({"a": 1.5}, {"a": None}, []),  # a missing value is not the schema's matter
        ({"a": None}, {"a": 1.5}, []),
        ([1.5], {"a": 1.5}, ["[] is gone", "a is new (float)", "the answer is object instead of array"]),
    ],
)
def test_what_is_otherwise_is_named(before: object, after: object, phrases: list[str]) -> None:
    assert changes(schema_of(before), schema_of(after)) == phrases


@given(SCHEMAS)
def test_a_schema_is_like_itself(schema: Schema) -> None:
    assert changes(schema, schema) == []
    assert joined(schema, schema) == joined(schema, {}) == schema


@given(SCHEMAS, SCHEMAS, SCHEMAS)
def test_schemas_are_joined_in_any_order(one: Schema, two: Schema, three: Schema) -> None:
    assert joined(one, two) == joined(two, one)
    assert joined(joined(one, two), three) == joined(one, joined(two, three))
    assert not any("instead" in phrase for phrase in changes(joined(one, two), one))


@given(JSON)
def test_what_is_exact_has_the_same_schema(answer: object) -> None:
    schema = schema_of(answer)
    assert changes(schema, schema_of(answer)) == []
    assert all(kinds for kinds in schema.values())
    assert not math.isinf(difference(answer, None).largest)
