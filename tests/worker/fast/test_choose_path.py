"""Which form of input serves scikit-learn's models: an array only where it was proved to do."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.worker.queues import House, request
from tidegate_worker.ipc import wire
from tidegate_worker.model.loaded_model import Model
from tidegate_worker.proof.verdict import OFF, PROVED

X = pd.DataFrame(np.random.default_rng(3).normal(size=(60, 3)), columns=["a", "b", "c d"])
Y = (X["a"] + X["b"] > 0).map({True: "yes", False: "no"})


def by_name() -> Any:
    return make_pipeline(ColumnTransformer([("one", StandardScaler(), ["a", "c d"])]), LinearRegression())


def only_frames_differ() -> Any:
    """Answers for both, but otherwise for an array."""
    return make_pipeline(FunctionTransformer(_marked), LinearRegression())


def reads_labels() -> Any:
    """Drops what is marked in its rows' labels: an array has none."""
    return make_pipeline(FunctionTransformer(_without_labelled), LinearRegression())


def _without_labelled(data: Any) -> Any:
    return data * (data.index.to_numpy() == np.arange(len(data)))[:, None] if hasattr(data, "index") else data


def _marked(data: Any) -> Any:
    return data.to_numpy() if hasattr(data, "to_numpy") else np.asarray(data) + 1.0


MODELS: dict[str, tuple[Callable[[], Any], Any, str, str]] = {
    "logistic": (LogisticRegression, Y, "ndarray", ""),
    "linear": (LinearRegression, X["a"] * 2 + X["b"], "ndarray", ""),
    "forest": (lambda: RandomForestClassifier(5, random_state=0), Y, "ndarray", ""),
    "boosting": (lambda: GradientBoostingRegressor(n_estimators=5), X["a"], "ndarray", ""),
    "several outputs": (LinearRegression, X[["a", "b"]], "ndarray", ""),
    "columns by name": (by_name, X["a"], "dataframe", "the model takes no array"),
    "labels of rows": (reads_labels, X["a"], "ndarray", ""),
    "frames differ": (only_frames_differ, X["a"], "dataframe", "the model gives other answers for an array"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_form_of_input(name: str, tmp_path: Path) -> None:
    make, target, form, reason = MODELS[name]
    fitted = make().fit(X, target)
    path = str(tmp_path / "m")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            fitted,
            path,
            signature=infer_signature(X, fitted.predict(X)),
            input_example=X.head(3),
            pip_requirements=[],
            serialization_format="cloudpickle",
        )
        model = Model.load(path)
    house = House(model, model_dir=path)
    labels = "kept" if name == "labels of rows" else "ignored"
    assert house.batcher.serving.path == ("compiled", form, reason, labels)
    of_its_owner = name in ("labels of rows", "frames differ")
    assert house.batcher.serving.verdict.mode == (OFF if of_its_owner else PROVED)
    if of_its_owner:
        list(house.answers(rows_for(60, None, seed=5)))
    assert house.batcher.serving.verdict.mode == PROVED
    check_rows(house, None if labels == "ignored" else 0)
    check_rows(house, 7)
    check_rows(house, "last")


def rows_for(count: int, label: object, seed: int) -> list[wire.Request]:
    """Requests of one row, every tenth with a null."""
    source = np.random.default_rng(seed)
    requests = []
    for number in range(count):
        row: list[Any] = [round(float(value), 3) for value in source.normal(size=3)]
        row[0] = None if number % 10 == 0 else row[0]
        split = {"columns": list(X.columns), "data": [row], **({} if label is None else {"index": [label]})}
        requests.append(request(number, {"dataframe_split": split}))
    return requests


def check_rows(house: House, label: object) -> None:
    """What is answered, in a batch where the path is sure, is what the stock path answers; errors too."""
    house.sizes.clear()
    requests = rows_for(40, label, seed=4)
    answers = {answer.id: answer for answer in house.answers(requests)}
    for asked in requests:
        stock, own = house.model.answer(asked), answers[asked.id]
        assert own.outcome == stock.outcome
        if own.outcome == wire.OK:
            found, expected = json.loads(own.body)["predictions"], json.loads(stock.body)["predictions"]
            if isinstance(expected[0], str):
                assert found == expected
            else:
                np.testing.assert_allclose(found, expected, rtol=1e-9)
        else:
            assert own.body == stock.body
    together = label in (None, 0) or house.batcher.serving.path.row_labels == "ignored"
    assert (max(house.sizes) > 1) is together
