"""Two answers side by side: what is the same, and what is close enough."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.draws import examples
from tidegate.core.rollout.comparison import TOLERANCE, Difference, Likeness, difference

EXACT, CLOSE, CHANGED = Likeness.EXACT, Likeness.CLOSE, Likeness.CHANGED

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=12,
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


# --- many values


@settings(max_examples=examples(40))
@given(st.lists(st.tuples(NUMBERS, NUMBERS) | st.tuples(st.floats(-1, 1), st.floats(-1e-7, 1e-7)), min_size=1))
def test_many_values_together_are_found_as_each_alone(pairs: list[tuple[float, float]]) -> None:
    alone = [difference(one, other) for one, other in pairs]
    for wrap in (lambda value: value, lambda value: [value], lambda value: {"a": value}):
        whole = difference([wrap(one) for one, _ in pairs], [wrap(other) for _, other in pairs])
        order = (EXACT, CLOSE, CHANGED)
        assert whole.likeness is max((found.likeness for found in alone), key=order.index)
        assert whole.largest == max(found.largest for found in alone)


@settings(max_examples=examples(40))
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5), st.floats(1 - 3e-5, 1 + 3e-5))
def test_floats_together_are_found_as_each_alone(values: list[float], factor: float) -> None:
    whole = difference(values, [value * factor for value in values])
    alone = [difference(value, value * factor).likeness for value in values]
    assert (whole.likeness is CHANGED) is (CHANGED in alone)
    assert (whole.likeness is EXACT) is (set(alone) == {EXACT})


def test_what_is_nested_too_deep_is_compared_as_a_whole() -> None:
    one: object = 1.0
    other: object = 1.0000001
    for _ in range(150):
        one, other = [one], [other]
    assert (likeness(one, one), likeness(one, other)) == (EXACT, CHANGED)
