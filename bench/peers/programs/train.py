"""Saves the models that everyone serves, and writes a request for each with the answer that it must get."""

import json
import logging
import sys
from importlib.metadata import version
from pathlib import Path

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression

PACKAGES = ("mlflow", "scikit-learn", "pandas", "numpy", "cloudpickle")


def save(folder: Path, model: object, rows: pd.DataFrame) -> None:
    answers = model.predict(rows)
    mlflow.sklearn.save_model(
        model,
        folder / "model",
        signature=infer_signature(rows, answers),
        input_example=rows.head(1),
        pip_requirements=[f"{package}=={version(package)}" for package in PACKAGES],
        serialization_format="cloudpickle",  # so that a peer without MLflow reads it too
    )
    for name, count in {"row": 1, "rows": 1000}.items():
        asked = rows.head(count)
        case = {"columns": list(asked.columns), "data": asked.values.tolist(), "answers": answers[:count].tolist()}
        (folder / f"{name}.json").write_text(json.dumps(case))


def main(folder: Path) -> None:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    features, labels = load_iris(return_X_y=True, as_frame=True)
    save(folder / "iris", LogisticRegression(max_iter=500).fit(features, labels), features)
    random = np.random.default_rng(7)
    wide = pd.DataFrame(random.normal(size=(1000, 600)), columns=[f"feature_{n}" for n in range(600)])
    save(folder / "wide", LinearRegression().fit(wide, wide.sum(axis=1)), wide)


main(Path(sys.argv[1]))
