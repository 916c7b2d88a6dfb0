"""The cost of predictions, as replicas tell it with their answers."""

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from tidegate.core.rollout.gate import FEWEST_TIMED
from tidegate.core.rollout.replay import Times
from tidegate_worker.ipc import wire


class PredictionCost(NamedTuple):
    """The requests of a prediction, and its seconds: decoding, predicting and encoding."""

    batch: int
    seconds: float

    @classmethod
    def read(cls, meta: bytes) -> "PredictionCost":
        """The cost in an answer's metadata."""
        told = wire.unpack_meta(meta)
        steps = (int(told.get(step, 0)) for step in ("decode", "predict", "encode"))
        return cls(int(told.get("batch", 1)), sum(steps) / 1e6)


def usual_batch(costs: Sequence[PredictionCost]) -> int:
    """The number of requests that most predictions had."""
    batches = Counter(cost.batch for cost in costs)
    return batches.most_common(1)[0][0] if batches else 1


def times_with(costs: Sequence[PredictionCost], batch: int) -> Times:
    """The times of predictions with `batch` requests."""
    return _times([cost for cost in costs if cost.batch == batch])


def times_with_at_most(costs: Sequence[PredictionCost], batch: int) -> Times:
    """The same. If they are too few, predictions of fewer requests count too, as they take no longer."""
    times = times_with(costs, batch)
    return times if times.count >= FEWEST_TIMED else _times([cost for cost in costs if cost.batch <= batch])


def _times(costs: Sequence[PredictionCost]) -> Times:
    return Times(median(cost.seconds for cost in costs), len(costs), usual_batch(costs)) if costs else Times()
