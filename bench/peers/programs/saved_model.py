"""The scikit-learn model inside a saved MLflow model, for peers that do without MLflow."""

import pickle
from pathlib import Path


def load(model_dir: str):
    """The estimator."""
    return pickle.loads((Path(model_dir) / "model.pkl").read_bytes())
