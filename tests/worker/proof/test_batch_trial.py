"""How many rows a trial puts into one batch."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from tidegate_worker.fast.parser import Parsed
from tidegate_worker.fast.scorer import Scored
from tidegate_worker.proof import batch_trial
from tidegate_worker.proof.batch_trial import LARGEST_BATCH, MIN_ROWS, BatchTrial


class Model:
    """Takes so many seconds for each row of a prediction, by its own clock; the predictions listed are held up."""

    def __init__(self, seconds: float, *held_up: int) -> None:
        self.now, self._seconds, self._held_up, self._predictions = 0.0, seconds, held_up, 0

    def score(self, rows: Sequence[Parsed]) -> Scored:
        self._predictions += 1
        self.now += 0.4 if self._predictions in self._held_up else self._seconds * len(rows)
        return Scored([[row.data[0][0] * 2] for row in rows], 1e-9)


@pytest.mark.parametrize(
    ("model", "largest"),
    [(Model(0.0001), LARGEST_BATCH), (Model(0.0001, 1, 4), LARGEST_BATCH), (Model(0.02), 25), (Model(0.1), MIN_ROWS)],
    ids=["quick", "quick, and held up twice", "slow", "very slow"],
)
def test_a_slow_model_gets_fewer_rows_and_one_that_is_held_up_does_not(
    model: Model, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_trial, "time", SimpleNamespace(perf_counter=lambda: model.now))
    trial = BatchTrial(model.score, 10.0)
    for _ in trial.predict_distinct([Parsed([[float(number)]], 1) for number in range(12)]):
        pass
    assert trial.largest == largest
