"""Two BentoML services: one that predicts each request alone, one that batches."""

import os

import bentoml
import numpy as np
from saved_model import load

SETTINGS = {"workers": 1, "logging": {"access": {"enabled": False}}, "traffic": {"timeout": 60}}


@bentoml.service(**SETTINGS)
class Plain:
    """Scores rows."""

    def __init__(self) -> None:
        self.model = load(os.environ["MODEL"])

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict(rows)


@bentoml.service(**SETTINGS)
class Batched:
    """Scores the rows of many requests at once."""

    def __init__(self) -> None:
        self.model = load(os.environ["MODEL"])

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=60000)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict(rows)
