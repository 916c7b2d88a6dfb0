"""Which models may be proved with made-up rows: estimators of known libraries, and nothing else in them."""

from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import NMF
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier, StackingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from tidegate_worker.proof.estimators import batch_dependent, is_row_wise

X = pd.DataFrame(np.random.default_rng(0).random((40, 3)), columns=["a", "b", "c"])
Y = (X["a"] > 0.5).astype(int)


class Mine(LogisticRegression):  # type: ignore[misc]
    """What a data scientist adds to an estimator."""


def patched() -> Any:
    model = LogisticRegression()
    model.predict = lambda data: data["a"].rank()
    return model


def _plain(model: Any, flavor: str = "mlflow.sklearn") -> Any:
    return SimpleNamespace(loader_module=flavor, _model_impl=SimpleNamespace(sklearn_model=model))


KNOWN: dict[str, Any] = {
    "logistic": LogisticRegression(),
    "forest": RandomForestClassifier(5),
    "boosting": GradientBoostingRegressor(n_estimators=5),
    "support vectors": SVC(),
    "pipeline": make_pipeline(SimpleImputer(), StandardScaler(), Ridge()),
    "columns": make_pipeline(
        ColumnTransformer([("n", StandardScaler(), ["a"]), ("t", OneHotEncoder(handle_unknown="ignore"), ["b"])]),
        LogisticRegression(),
    ),
    "search": GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=2),
    "stacking": StackingRegressor([("r", Ridge()), ("s", Ridge(2.0))], cv=2),
    "a transformer without a function": make_pipeline(FunctionTransformer(), Ridge()),
}
OTHERS: dict[str, Any] = {
    "neighbours, which may tie": make_pipeline(KNNImputer(), Ridge()),
    "a factorization, which stops by a sum over all rows": make_pipeline(NMF(2, tol=0.1, max_iter=2000), Ridge()),
    "a class of one's own": Mine(),
    "one within a pipeline": make_pipeline(StandardScaler(), Mine()),
    "a method of one's own": patched(),
    "a function": make_pipeline(FunctionTransformer(np.cumsum), Ridge()),
    "a function's name within a search": GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2, scoring=lambda m, x, y: 1.0),
}


@pytest.mark.parametrize("name", KNOWN)
def test_estimators_of_known_libraries_are(name: str) -> None:
    assert is_row_wise(_plain(KNOWN[name].fit(X, Y)))


@pytest.mark.parametrize("name", OTHERS)
def test_with_code_of_their_owner_they_are_not(name: str) -> None:
    assert not is_row_wise(_plain(OTHERS[name].fit(X, Y)))


def test_those_that_depend_on_others_after_all_are_named() -> None:
    assert batch_dependent(_plain(OTHERS["neighbours, which may tie"].fit(X, Y))) == "KNNImputer"
    assert batch_dependent(_plain(KNOWN["pipeline"].fit(X, Y))) == ""
    assert batch_dependent(SimpleNamespace()) == ""


def test_texts_are_data() -> None:
    texts = ["one two", "two three", "three four"]
    assert is_row_wise(_plain(make_pipeline(TfidfVectorizer(), Ridge()).fit(texts, [1, 2, 3])))
    tokens = TfidfVectorizer(tokenizer=lambda text: text.split(), token_pattern=None)
    assert not is_row_wise(_plain(make_pipeline(tokens, Ridge()).fit(texts, [1, 2, 3])))


def test_a_patched_class_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = Ridge().fit(X, Y)
    monkeypatch.setattr(Ridge, "predict", lambda _self, data: data["a"].rank())
    assert not is_row_wise(_plain(fitted))


def test_of_other_flavors_none_is() -> None:
    assert not is_row_wise(_plain(Ridge().fit(X, Y), "mlflow.pyfunc.model"))
    assert not is_row_wise(SimpleNamespace(loader_module="mlflow.sklearn"))
    assert not is_row_wise(SimpleNamespace())


def test_what_mlflow_loads_is_seen_through(tmp_path: Any) -> None:
    mlflow.sklearn.save_model(Ridge().fit(X, Y), str(tmp_path / "m"), pip_requirements=[])
    assert is_row_wise(mlflow.pyfunc.load_model(str(tmp_path / "m")))
