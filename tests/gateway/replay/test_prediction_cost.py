"""What predictions cost, and with which of them a version is judged."""

from tidegate.core.rollout.replay import Times
from tidegate.gateway.replay.prediction_cost import PredictionCost, times_with, times_with_at_most, usual_batch

ONE, TWO, NINE = PredictionCost(1, 0.001), PredictionCost(2, 0.002), PredictionCost(9, 0.009)


def test_a_cost_is_all_that_a_replica_did_for_a_prediction() -> None:
    assert PredictionCost.read(b"batch=3\nqueue=7\ndecode=100\npredict=2000\nencode=50") == PredictionCost(3, 0.00215)
    assert PredictionCost.read(b"predict=1000") == ONE
    assert PredictionCost.read(b"") == PredictionCost(1, 0.0)


def test_the_usual_batch_is_the_most_frequent() -> None:
    assert usual_batch([ONE, NINE, NINE, TWO]) == 9
    assert usual_batch([]) == 1


def test_times_are_those_of_predictions_of_as_many_requests() -> None:
    assert times_with([ONE, TWO, TWO, NINE], 2) == Times(0.002, 2, 2)
    assert times_with([ONE], 2) == Times()


def test_where_they_are_too_few_those_of_fewer_requests_count_too_and_never_those_of_more() -> None:
    assert times_with_at_most([*[ONE] * 9, *[TWO] * 5, NINE], 2) == Times(0.002, 5, 2)
    assert times_with_at_most([*[ONE] * 9, *[TWO] * 4, NINE], 2) == Times(0.001, 13, 1)
    assert times_with_at_most([NINE], 2) == Times()
