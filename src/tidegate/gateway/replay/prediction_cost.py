"""What predictions cost, as replicas tell it with their answers."""

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from tidegate.core.rollout.gate import FEWEST_TIMED
from tidegate.core.rollout.replay import Times
from tidegate_worker.ipc import wire


class PredictionCost(NamedTuple):
    """How many requests a prediction had, and how long it took, seconds: decoded, predicted and encoded."""

    batch: int
    seconds: float

    @classmethod
    def read(cls, meta: bytes) -> "PredictionCost":
        """From an answer's metadata."""
        told = wire.unpack_meta(meta)
        steps = (int(told.get(step, 0)) for step in ("decode", "predict", "encode"))
        return cls(int(told.get("batch", 1)), sum(steps) / 1e6)


def usual_batch(costs: Sequence[PredictionCost]) -> int:
    """How many requests most predictions had."""
    batches = Counter(cost.batch for cost in costs)
    return batches.most_common(1)[0][0] if batches else 1


def times_with(costs: Sequence[PredictionCost], batch: int) -> Times:
    """What predictions of so many requests took."""
    return _times([cost for cost in costs if cost.batch == batch])


def times_with_at_most(costs: Sequence[PredictionCost], batch: int) -> Times:
    """The same; with those of fewer requests where that are too few. With so many, they would take longer still."""
    times = times_with(costs, batch)
    return times if times.count >= FEWEST_TIMED else _times([cost for cost in costs if cost.batch <= batch])


def _times(costs: Sequence[PredictionCost]) -> Times:
    return Times(median(cost.seconds for cost in costs), len(costs), usual_batch(costs)) if costs else Times()
