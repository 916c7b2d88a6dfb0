"""The cost of predictions, fitted to measurements."""

import random

import pytest

from tidegate_worker.batching.batch_cost import BatchCost


def test_before_anything_is_known_it_guesses() -> None:
    assert BatchCost(0.001, 0.01).predicted(10) == pytest.approx(0.02)


def test_it_learns_a_line() -> None:
    cost, source = BatchCost(1.0, 1.0), random.Random(1)
    for _ in range(200):
        items = source.randint(1, 64)
        cost.learn(items, 0.002 + 0.0001 * items)
    assert cost.predicted(1) == pytest.approx(0.0021, rel=0.01)
    assert cost.predicted(1000) == pytest.approx(0.102, rel=0.01)


def test_from_one_size_it_expects_too_much_of_larger_ones() -> None:
    cost = BatchCost(1.0, 1.0)
    cost.learn(2, 0.01)
    assert cost.predicted(1) == pytest.approx(0.01)
    assert cost.predicted(64) == pytest.approx(0.32)


def test_it_forgets() -> None:
    cost = BatchCost(0.0, 0.0)
    for _ in range(500):
        cost.learn(1, 1.0)
    for _ in range(500):
        cost.learn(1, 0.001)
    assert cost.mean == pytest.approx(0.001, rel=0.1)


def test_it_is_never_negative() -> None:
    cost = BatchCost(0.0, 0.0)
    cost.learn(1, 0.5)
    cost.learn(64, 0.01)
    assert cost.predicted(10_000) > 0


def test_what_was_empty_tells_nothing_of_what_is_not() -> None:
    cost = BatchCost(0.001, 0.01)
    cost.learn(0, 0.5)
    assert cost.predicted(10) == pytest.approx(0.02)
    cost.learn(10, 0.03)
    assert cost.predicted(10) > 0
