"""Models that predict row by row are batched: estimators from their start on, code of its owner's soon."""

import random
import time
from collections.abc import Callable
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.models import Model as Metadata
from mlflow.models import ModelSignature, infer_signature
from mlflow.sklearn import _SklearnModelWrapper
from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeClassifier

from tests.worker import zoo
from tests.worker.queues import House, animal, launch, request
from tidegate_worker.batching.batcher import Batcher
from tidegate_worker.model.loaded_model import Model
from tidegate_worker.proof.kinds import NULL
from tidegate_worker.proof.verdict import BY_TYPE, PROVED
from tidegate_worker.startup import serving

SOURCE = np.random.default_rng(7)
X = pd.DataFrame(SOURCE.normal(size=(80, 3)), columns=["a", "b", "c"])
LABELS = np.where(X["a"] + X["b"] > 0, "high", "low")
NUMBERS = (2 * X["a"] - X["c"]).to_numpy()
MIXED = X.assign(c=SOURCE.choice(["red", "green", "blue"], 80))
TEXTS = pd.Series([f"{word} {number}" for number in range(40) for word in ("good", "bad")], name="text")
RATED = np.array([1, 0] * 40)


def mixed() -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return ColumnTransformer([("n", numbers, ["a", "b"]), ("t", OneHotEncoder(handle_unknown="ignore"), ["c"])])


ESTIMATORS: dict[str, tuple[Callable[[], Any], pd.DataFrame, Any]] = {
    "linear": (LinearRegression, X, NUMBERS),
    "ridge": (Ridge, X, NUMBERS),
    "elastic net": (ElasticNet, X, NUMBERS),
    "logistic": (LogisticRegression, X, LABELS),
    "stochastic": (lambda: SGDClassifier(random_state=0), X, LABELS),
    "tree": (lambda: DecisionTreeClassifier(random_state=0), X, LABELS),
    "forest": (lambda: RandomForestClassifier(10, random_state=0), X, LABELS),
    "extra trees": (lambda: ExtraTreesRegressor(10, random_state=0), X, NUMBERS),
    "boosting": (lambda: GradientBoostingClassifier(n_estimators=10, random_state=0), X, LABELS),
    "histogram boosting": (lambda: HistGradientBoostingRegressor(max_iter=10, random_state=0), X, NUMBERS),
    "isolation": (lambda: IsolationForest(n_estimators=10, random_state=0), X, None),
    "neighbours": (KNeighborsClassifier, X, LABELS),
    "support vectors": (SVR, X, NUMBERS),
    "bayes": (GaussianNB, X, LABELS),
    "discriminant": (LinearDiscriminantAnalysis, X, LABELS),
    "network": (lambda: MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0), X, NUMBERS),
    "clusters": (lambda: KMeans(3, n_init=1, random_state=0), X, None),
    "components": (lambda: make_pipeline(PCA(2), LogisticRegression()), X, LABELS),
    "polynomial": (lambda: make_pipeline(PolynomialFeatures(), Ridge()), X, NUMBERS),
    "imputed": (lambda: make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()), X, LABELS),
    "texts and numbers": (lambda: make_pipeline(mixed(), LogisticRegression()), MIXED, LABELS),
    "search": (lambda: GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2), X, NUMBERS),
    "vote": (lambda: VotingClassifier([("l", LogisticRegression()), ("b", GaussianNB())]), X, LABELS),
}


def estimator(fitted: Any, signature: ModelSignature) -> Model:
    """A scikit-learn model in the worker's hands, as MLflow loads it."""
    metadata = Metadata(signature=signature, flavors={"python_function": {"loader_module": "mlflow.sklearn"}})
    return Model(mlflow.pyfunc.PyFuncModel(model_meta=metadata, model_impl=_SklearnModelWrapper(fitted)))


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_is_batched_from_its_start_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, data, target = ESTIMATORS[name]
    model = estimator(make().fit(data, target), infer_signature(data))
    monkeypatch.setattr(serving, "input_example", lambda *_: ((data.head(3), None), ""))
    began = time.perf_counter()
    batcher: Batcher = serving.batcher_of(model, launch(), serving.plan_by_trial(model, launch()))
    print(f"FIGURE {name}: {time.perf_counter() - began:.2f} s until its verdict")
    verdict = batcher.serving.verdict
    if not verdict.thin or "too slow" not in verdict.reason:  # which a busy machine may make of it
        assert (verdict.mode, verdict.by) == (PROVED, BY_TYPE), verdict
    assert not [kind for kind in verdict.refuted if kind != (NULL, 2)]  # of text, a null is always alone


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("vectorizer", [TfidfVectorizer, HashingVectorizer])
def test_texts_with_meaning(vectorizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ColumnTransformer([("t", vectorizer(), "text")])
    fitted = make_pipeline(columns, LogisticRegression()).fit(TEXTS.to_frame(), RATED)
    model = estimator(fitted, ModelSignature(Schema([ColSpec("string", "text")])))
    monkeypatch.setattr(serving, "input_example", lambda *_: ((TEXTS.to_frame().head(1), None), ""))
    house = House(model)
    source = random.Random(1)
    for number in range(100):
        text = f"{source.choice(['good', 'bad'])} {source.randrange(1000)}"
        list(house.answers([request(number, {"dataframe_records": [{"text": text}]})]))
    assert house.batcher.serving.verdict.mode == PROVED
    house.sizes.clear()
    list(house.answers([request(n, {"dataframe_records": [{"text": f"good {n}"}]}) for n in range(30)]))
    assert max(house.sizes) > 4


def test_a_null_of_text_is_encoded_as_it_is_by_itself() -> None:
    """pandas has None where all texts are null, and NaN beside other texts: an imputer tells them apart."""
    data = pd.DataFrame({"s": [None, "red", "blue", "blue"] * 20})
    encoded = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    fitted = make_pipeline(encoded, DecisionTreeClassifier(random_state=0)).fit(data, [0, 1, 1, 0] * 20)
    house = House(estimator(fitted, ModelSignature(Schema([ColSpec("string", "s")]))))
    texts = [None if n % 3 == 0 else ("red", "blue")[n % 2] for n in range(60)]
    requests = [request(n, {"dataframe_records": [{"s": text}]}) for n, text in enumerate(texts)]
    for _ in range(3):
        for answer in house.answers(requests):
            assert answer.body == house.model.answer(requests[answer.id]).body


@pytest.mark.filterwarnings("ignore::Warning")
def test_a_tensor_of_numbers_beside_params() -> None:
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("float64"), (-1,))]), params=ParamSchema([ParamSpec("scale", "double", 1.0)])
    )
    metadata = Metadata(signature=signature, flavors={"python_function": {"loader_module": "tests.worker.zoo"}})
    scaled = zoo.Animal(lambda data, params: data / (255.0 if data.max() > 1 else 1.0))
    house = House(Model(mlflow.pyfunc.PyFuncModel(model_meta=metadata, model_impl=scaled)))
    for turn in range(8):
        numbers = [n / 40 if n % 9 else 200.0 * (turn > 3) for n in range(40)]
        requests = [request(n, {"inputs": [number]}) for n, number in enumerate(numbers)]
        for answer in house.answers(requests):
            assert answer.body == house.model.answer(requests[answer.id]).body
    assert house.batcher.serving.verdict.mode == PROVED


@pytest.mark.parametrize("name", zoo.ROW_WISE)
def test_code_of_its_owner_is_batched_within_a_thousand_requests(name: str) -> None:
    house = House(animal(zoo.ROW_WISE[name]))
    house.whole_trials = False
    house.warm(1000)
    assert house.batcher.serving.verdict.mode == PROVED
