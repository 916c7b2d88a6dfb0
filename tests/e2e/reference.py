"""What MLflow itself answers: `python reference.py MODEL_DIR`, in the model's environment, a request on standard input.

Prints `{"predictions": …}` of `mlflow.pyfunc.load_model(MODEL_DIR).predict(…)`. Runs under any Python from 3.8 on.
"""

import json
import math
import sys


def parse(request):
    """The request as what predict takes."""
    import numpy as np
    import pandas as pd

    if "dataframe_split" in request:
        split = request["dataframe_split"]
        return pd.DataFrame(split["data"], columns=split["columns"])
    if "dataframe_records" in request:
        return pd.DataFrame(request["dataframe_records"])
    inputs = request["inputs"]
    return {name: np.array(value) for name, value in inputs.items()} if isinstance(inputs, dict) else np.array(inputs)


def plain(value):
    """A prediction as JSON values; a Series as MLflow's server writes it, one record a row."""
    if hasattr(value, "to_frame"):
        value = value.to_frame()
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return plain(value.to_dict(orient="records"))
    if hasattr(value, "isoformat"):
        return None if str(value) == "NaT" else value.isoformat()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    import mlflow

    sent = json.load(sys.stdin)
    model = mlflow.pyfunc.load_model(sys.argv[1])
    data = parse(sent)
    schema = model.metadata.get_input_schema()
    if schema is not None and schema.is_tensor_spec() and not isinstance(data, dict):
        data = data.astype(schema.numpy_types()[0])
    params = {"params": sent["params"]} if "params" in sent else {}
    print("ANSWER " + json.dumps({"predictions": plain(model.predict(data, **params))}))
