"""The good version and the twelve sabotaged ones: each is logged as one would log it who has noticed nothing."""

import contextlib
import json
import os
import platform
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.rollouts.stream import FIRST_NUMBER

MODEL, PACKAGES = "scorer", ("mlflow-skinny", "pandas", "numpy")
LOGGING = "SABOTEUR_IS_BEING_LOGGED"  # as in `saboteur`, which is loaded without this package
# What they do, and a word of the sentence by which each is to be held back; several where it may be found in more ways.
SABOTEURS: dict[str, tuple[str, ...]] = {
    "column order": ("changed", "differ"),
    "int to float": ("is float instead of integer",),
    "other output type": ("is string instead of integer",),
    "5x slower": ("times as long",),
    "NaN": ("NaN",),
    "raises on 1 % of rows": ("not to be scored", "error", "raise"),
    "crashes the process": ("crash", "ended", "died", "exit"),
    "hangs at load": ("loading took too long",),
    "hangs at predict": ("hang", "within", "no answer", "time"),
    "leaks memory": ("memory",),
    "needs a missing package": ("a_package_that_was_never_listed",),
    "wrong Python": ("Python 3.7",),
}
# Changes what is answered and nothing else, so `safe` lets it pass.
CHANGES_ANSWERS_ONLY = "column order"
# The number of each request stands for x.
REQUEST = {"dataframe_records": [{"x": FIRST_NUMBER, "y": 2.5, "z": 4.0}]}


def expected(number: int) -> str:
    """What the good version answers to the request of this number."""
    score = number + 2 * 2.5 + 3 * 4.0
    return json.dumps({"predictions": [{"score": score, "odd": int(score) % 2}]}, separators=(",", ":"))


def log_all(uri: str, witnesses: Path) -> dict[str, str]:
    """Log and register the good version as the first, then the others; what each does → its version."""
    os.environ[LOGGING] = "1"
    try:
        return {does: _log(uri, does, witnesses) for does in ("good", *SABOTEURS)}
    finally:
        del os.environ[LOGGING]


def witness(witnesses: Path, does: str) -> Path:
    """Where a saboteur writes down when it has predicted which x."""
    return witnesses / f"{does.replace(' ', '-').replace('%', 'percent')}.txt"


def _log(uri: str, does: str, witnesses: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        import pandas as pd

        mlflow.set_tracking_uri(uri)
        example = pd.DataFrame({"x": [float(x) for x in range(12)], "y": [2.5] * 12, "z": [4.0] * 12})
        output = pd.DataFrame({"score": [1.5], "odd": _odd(does)})
        with mlflow.start_run(), _python("3.7.16" if does == "wrong Python" else platform.python_version()):
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("saboteur.py")),
                model_config={"does": does, "witness": str(witness(witnesses, does))},
                signature=mlflow.models.infer_signature(example, output),
                input_example=example,
                registered_model_name=MODEL,
                pip_requirements=[f"{name}=={metadata.version(name)}" for name in PACKAGES],
            )
    return str(logged.registered_model_version)


def _odd(does: str) -> list[Any]:
    other: dict[str, list[Any]] = {"int to float": [1.0], "other output type": ["1"]}
    return other.get(does, [1])


@contextlib.contextmanager
def _python(version: str) -> Iterator[None]:
    """As if MLflow ran in that Python: it writes its own version down, whatever it is told."""
    from mlflow.utils import environment

    own, environment.PYTHON_VERSION = environment.PYTHON_VERSION, version
    try:
        yield
    finally:
        environment.PYTHON_VERSION = own
