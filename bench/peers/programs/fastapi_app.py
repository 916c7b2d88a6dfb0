"""The service that many write by hand. PREDICT=pyfunc checks the signature, PREDICT=bare does not.

`async def`, because a prediction is shorter than the way to a thread and back.
"""

import os

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel


class Split(BaseModel):
    """A data frame, as pandas writes it with orient="split"."""

    columns: list[str]
    data: list[list[float]]


class Rows(BaseModel):
    """A request."""

    dataframe_split: Split


class Predictions(BaseModel):
    """An answer."""

    predictions: list[int]


app = FastAPI()
if os.environ["PREDICT"] == "pyfunc":
    import mlflow.pyfunc
    import pandas as pd

    pyfunc = mlflow.pyfunc.load_model(os.environ["MODEL"])

    def predict(split: Split) -> np.ndarray:
        return pyfunc.predict(pd.DataFrame(split.data, columns=split.columns))

else:
    from saved_model import load

    model = load(os.environ["MODEL"])

    def predict(split: Split) -> np.ndarray:
        return model.predict(np.array(split.data))


@app.post("/invocations")
async def invocations(rows: Rows) -> Predictions:
    """Score rows."""
    return Predictions(predictions=predict(rows.dataframe_split).tolist())
