"""A model as code, which scores rows of x, y and z well, or as its configuration says it `does`; loaded by MLflow.

A saboteur writes down when it predicts which x, into the file `witness`, so that who was answered by it can be told.
MLflow tries a model out when it is logged: it is good then.
"""

import os
import time
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

LOGGING = "SABOTEUR_IS_BEING_LOGGED"
_EVERY = 100  # one row in so many is a bad one, for those that mind
_NEVER = 3600.0
_LEAK_BYTES = 200_000
_SECONDS = 0.002  # that a good prediction takes


class Saboteur(PythonModel):  # type: ignore[misc]
    """Scores x + 2y + 3z, and tells whether that is odd."""

    def load_context(self, context):  # type: ignore[no-untyped-def]
        """May never end, or not find a package."""
        self.does, self.witness = context.model_config["does"], context.model_config["witness"]
        if LOGGING in os.environ:
            self.does = "good"
        self.kept: list[bytes] = []
        if self.does == "hangs at load":
            time.sleep(_NEVER)
        if self.does == "needs a missing package":
            import a_package_that_was_never_listed  # noqa: F401

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002 - as MLflow calls it
        """Scores and odds of the rows."""
        began = time.perf_counter()
        self._testify(model_input)
        time.sleep(_SECONDS)
        bad = model_input["x"].astype("int64") % _EVERY == _EVERY // 2
        if bad.any():
            self._misbehave()
        x, y, z = self._columns(model_input)
        scores = x + 2 * y + 3 * z
        odd = scores.astype("int64") % 2
        if self.does == "NaN":
            scores = scores.mask(bad)
        if self.does == "int to float":
            odd = odd.astype("float64")
        if self.does == "other output type":
            odd = odd.astype(str)
        if self.does == "leaks memory":
            self.kept.append(os.urandom(_LEAK_BYTES))
        answer = pd.DataFrame({"score": scores, "odd": odd})
        if self.does == "5x slower":
            time.sleep(4 * (time.perf_counter() - began))
        return answer

    def _columns(self, frame: Any) -> list[Any]:
        names = ["y", "x", "z"] if self.does == "column order" else ["x", "y", "z"]
        return [frame[name] for name in names]

    def _misbehave(self) -> None:
        if self.does == "raises on 1 % of rows":
            raise ValueError("this row is not to be scored")
        if self.does == "crashes the process":
            os._exit(3)
        if self.does == "hangs at predict":
            time.sleep(_NEVER)

    def _testify(self, frame):  # type: ignore[no-untyped-def]
        if self.does != "good":
            with open(self.witness, "a") as file:  # noqa: PTH123
                file.writelines(f"{time.monotonic()} {int(x)}\n" for x in frame["x"])


mlflow.models.set_model(Saboteur())
