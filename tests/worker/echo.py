"""A pyfunc model that returns its input, described so exactly that the readings of two servers can be compared."""

from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import Model as Metadata
from mlflow.models import ModelSignature

from tidegate_worker.model.accelerators import Json
from tidegate_worker.model.loaded_model import Model


class Echo:
    """Its answer tells type, dtype, labels and values of the data, and the params."""

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        return {"data": describe(data), "params": {key: repr(value) for key, value in (params or {}).items()}}


def describe(data: Any) -> Any:
    """A value as text, nested as it is."""
    if isinstance(data, pd.DataFrame):
        labels = [repr(label) for label in data.columns]
        cells = {str(label): [describe(cell) for cell in data[label]] for label in data.columns}
        dtypes = [str(dtype) for dtype in data.dtypes]
        return {"frame": labels, "dtypes": dtypes, "index": [repr(item) for item in data.index], "cells": cells}
    if isinstance(data, np.ndarray):
        return {"array": str(data.dtype), "shape": list(data.shape), "items": [repr(item) for item in data.ravel()]}
    if isinstance(data, dict):
        return {key: describe(value) for key, value in data.items()}
    if isinstance(data, list):
        return [describe(item) for item in data]
    return repr(data)


def echo(signature: ModelSignature | None) -> mlflow.pyfunc.PyFuncModel:
    """The echo with a signature, as `load_model` would return it."""
    metadata = Metadata(signature=signature, flavors={"python_function": {"loader_module": "tests.worker.echo"}})
    return mlflow.pyfunc.PyFuncModel(model_meta=metadata, model_impl=Echo())


def echo_model(signature: ModelSignature | None, json: Json | None = None) -> Model:
    """The echo in the worker's hands."""
    return Model(echo(signature), json)
