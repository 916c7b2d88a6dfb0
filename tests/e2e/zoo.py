"""Models of many kinds, each logged to a registry as a data scientist would, in the interpreter that is asked for.

Run as a program inside an environment: `python zoo.py KIND REGISTRY_URI NAME` logs and registers, and prints a request
that fits the model as JSON; without arguments it does so for each line `KIND REGISTRY_URI NAME TOKEN` of its input, in
a process forked from one that has imported MLflow. Standard library, MLflow and the model's own library only.
"""

import json
import os
import re
import signal
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path


def iris():
    """Features and target of the bundled data set, as a DataFrame and a Series."""
    from sklearn.datasets import load_iris

    data = load_iris(as_frame=True)
    return data.data, data.target


def tabular():
    """scikit-learn with a DataFrame signature."""
    import mlflow
    from sklearn.linear_model import LogisticRegression

    x, y = iris()
    model = LogisticRegression(max_iter=500).fit(x, y)
    signature = mlflow.models.infer_signature(x, model.predict(x))
    options = {"signature": signature, "input_example": x.head(3)}
    return mlflow.sklearn, model, options, SKLEARN, {"dataframe_split": x.iloc[::50].to_dict(orient="split")}


def tensor():
    """scikit-learn with a tensor signature."""
    import mlflow
    from sklearn.linear_model import LogisticRegression

    x, y = iris()
    model = LogisticRegression(max_iter=500).fit(x.to_numpy(), y)
    signature = mlflow.models.infer_signature(x.to_numpy(), model.predict_proba(x.to_numpy()))
    options = {"signature": signature, "pyfunc_predict_fn": "predict_proba"}
    return mlflow.sklearn, model, options, SKLEARN, {"inputs": x.to_numpy()[::50].tolist()}


def unsigned():
    """scikit-learn without a signature."""
    import mlflow
    from sklearn.linear_model import Ridge

    x, y = iris()
    model = Ridge().fit(x, y)
    return mlflow.sklearn, model, {}, SKLEARN, {"dataframe_records": x.iloc[::50].to_dict(orient="records")}


def custom():
    """A PythonModel with code_paths, artifacts and params."""
    import mlflow

    folder = Path(tempfile.mkdtemp())
    package = folder / "zoo_code"
    package.mkdir()
    (package / "__init__.py").write_text("def scale(values, by):\n    return [value * by for value in values]\n")
    weights = folder / "weights.json"
    weights.write_text('{"offset": 10}')
    sys.path.insert(0, str(folder))

    class Scaler(mlflow.pyfunc.PythonModel):
        def load_context(self, context):
            self.offset = json.loads(Path(context.artifacts["weights"]).read_text())["offset"]

        def predict(self, context, model_input, params=None):
            from zoo_code import scale

            values = scale(model_input["a"].tolist(), (params or {}).get("by", 1))
            return [value + self.offset for value in values]

    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2, 3]})
    signature = mlflow.models.infer_signature(frame, [1, 2, 3], params={"by": 2})
    options = {"signature": signature, "code_paths": [str(package)], "artifacts": {"weights": str(weights)}}
    return mlflow.pyfunc, Scaler(), options, BASE, {"dataframe_records": [{"a": 5}, {"a": 7}], "params": {"by": 3}}


def xgboost():
    """XGBoost."""
    import mlflow
    from xgboost import XGBClassifier

    x, y = iris()
    model = XGBClassifier(n_estimators=5).fit(x, y)
    options = {"signature": mlflow.models.infer_signature(x, model.predict(x))}
    request = {"dataframe_split": x.iloc[::50].to_dict(orient="split")}
    return mlflow.xgboost, model, options, ["xgboost", *SKLEARN], request


def lightgbm():
    """LightGBM."""
    import mlflow
    from lightgbm import LGBMClassifier

    x, y = iris()
    model = LGBMClassifier(n_estimators=5, verbose=-1).fit(x, y)
    options = {"signature": mlflow.models.infer_signature(x, model.predict(x))}
    request = {"dataframe_split": x.iloc[::50].to_dict(orient="split")}
    return mlflow.lightgbm, model, options, ["lightgbm", *SKLEARN], request


def statsmodels():
    """statsmodels."""
    import mlflow
    import statsmodels.api as sm

    x, y = iris()
    model = sm.OLS(y, x).fit()
    options = {"signature": mlflow.models.infer_signature(x, model.predict(x))}
    request = {"dataframe_split": x.iloc[::50].to_dict(orient="split")}
    return mlflow.statsmodels, model, options, ["statsmodels", "mlflow", *BASE], request


def onnx():
    """ONNX, written by hand: y = x · 2."""
    import mlflow
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    by = numpy_helper.from_array(np.array([2.0], dtype=np.float32), "by")
    node = helper.make_node("Mul", ["x", "by"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    graph = helper.make_graph([node], "double", [x], [y], [by])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    sample = np.array([[1, 2], [3, 4]], dtype=np.float32)
    options = {"signature": mlflow.models.infer_signature(sample, {"y": sample})}
    return mlflow.onnx, model, options, ["onnx", "onnxruntime", *BASE], {"inputs": sample.tolist()}


def mixed():
    """A DataFrame with NaN, timestamps and strings comes out."""
    import mlflow
    import pandas as pd

    class Mixed(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return pd.DataFrame(
                {
                    "number": [1.5, float("nan"), float("inf")],
                    "when": pd.to_datetime(["2026-01-31T12:00:00", None, "2020-02-29T00:00:00"]),
                    "text": ["a", None, "ü"],
                }
            )

    return mlflow.pyfunc, Mixed(), {}, BASE, {"dataframe_records": [{"a": 1}]}


def asyncio_run():
    """A model that runs an event loop of its own."""
    import mlflow

    class Loops(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            import asyncio

            async def double(value):
                await asyncio.sleep(0)
                return value * 2

            async def all_of_them():
                return await asyncio.gather(*[double(value) for value in model_input["a"].tolist()])

            return asyncio.run(all_of_them())

    return mlflow.pyfunc, Loops(), {}, BASE, {"dataframe_records": [{"a": 1}, {"a": 2}]}


def stamped():
    """Answers each row with a number that tells which version it is: the nanosecond at which that was logged."""
    import mlflow
    import pandas as pd

    class Stamped(mlflow.pyfunc.PythonModel):
        def __init__(self):
            self.stamp = time.time_ns()

        def predict(self, context, model_input, params=None):
            return [self.stamp] * len(model_input)

    example = pd.DataFrame({"a": [1.0, 2.0]})
    signature = mlflow.models.infer_signature(example, [1])
    options = {"signature": signature, "input_example": example}
    return mlflow.pyfunc, Stamped(), options, BASE, {"dataframe_records": [{"a": 1.5}]}


def no_such_package():
    """Its environment cannot be built."""
    return *_doubler()[:2], {}, [*BASE, "tidegate-has-no-such-package==1.0"], {"dataframe_records": [{"a": 1}]}


def fails_to_load():
    """Its load_context raises."""
    import mlflow

    class Broken(mlflow.pyfunc.PythonModel):
        def load_context(self, context):
            raise ValueError("the weights are of another model")

        def predict(self, context, model_input, params=None):
            return []

    return mlflow.pyfunc, Broken(), {}, BASE, {"dataframe_records": [{"a": 1}]}


def moody():
    """Does as its input says: raises, ends its process, sleeps, keeps megabytes, answers NaN."""
    import mlflow

    class Moody(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            mood = model_input["mood"].tolist()[0]
            if mood == "raise":
                raise RuntimeError("the model is in a bad mood")
            if mood == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if mood.startswith("sleep "):
                time.sleep(float(mood.split()[1]))
            if mood.startswith("keep "):
                self.kept = [*getattr(self, "kept", ()), b"x" * (int(mood.split()[1]) * 1_000_000)]
            if mood == "nan":
                return [float("nan"), float("inf"), 1.5]
            if mood == "environment":
                return [json.dumps(dict(os.environ))]
            return [mood]

    import pandas as pd

    signature = mlflow.models.infer_signature(pd.DataFrame({"mood": ["fine"]}))
    return mlflow.pyfunc, Moody(), {"signature": signature}, BASE, {"dataframe_records": [{"mood": "fine"}]}


def picky():
    """Does what `moody` does, but raises at one mood that the other answers."""
    import mlflow

    class Picky(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            moods = model_input["mood"].tolist()
            if "sad" in moods:
                raise ValueError("no such mood: sad")
            return moods

    import pandas as pd

    signature = mlflow.models.infer_signature(pd.DataFrame({"mood": ["fine"]}))
    return mlflow.pyfunc, Picky(), {"signature": signature}, BASE, {"dataframe_records": [{"mood": "fine"}]}


def crowded():
    """Row-wise, but for some moods: that hold the interpreter for years, take their time, or end the process."""
    return _moods(0)


def crowded_apart():
    """The same, but not row-wise: an answer tells how many rows it had beside it."""
    return _moods(1)


def _moods(by_other_row):
    import mlflow
    import pandas as pd

    class Moods(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            moods = model_input["mood"].tolist()
            if "die" in moods:
                os.kill(os.getpid(), signal.SIGKILL)
            if "deaf" in moods:  # to the alarm that ends it at its deadline
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, signal.SIG_IGN)
                time.sleep(3600)
            time.sleep(sum(float(mood.split()[1]) for mood in moods if mood.startswith("sleep ")))
            if "hang" in moods:
                re.match(r"(a+)+$", "a" * 64 + "b")
            others = by_other_row * (len(moods) - 1)
            return [2 * x + others for x in model_input["x"].tolist()]

    example = pd.DataFrame({"x": [row / 4 for row in range(12)], "mood": ["fine"] * 12})
    signature = mlflow.models.infer_signature(example, [1.0])
    request = {"dataframe_records": [{"x": 1.5, "mood": "fine"}]}
    return mlflow.pyfunc, Moods(), {"signature": signature, "input_example": example}, BASE, request


def _doubler():
    import mlflow

    class Doubler(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return (model_input["a"] * 2).tolist()

    return mlflow.pyfunc, Doubler()


BASE = ["mlflow-skinny", "pandas", "numpy"]
SKLEARN = ["scikit-learn", "skops", *BASE]
# How each flavor's log_model calls the model.
KEYWORDS = {
    "pyfunc": "python_model",
    "sklearn": "sk_model",
    "xgboost": "xgb_model",
    "lightgbm": "lgb_model",
}
KINDS = {
    "tabular": tabular,
    "tensor": tensor,
    "unsigned": unsigned,
    "custom": custom,
    "xgboost": xgboost,
    "lightgbm": lightgbm,
    "statsmodels": statsmodels,
    "onnx": onnx,
    "mixed": mixed,
    "asyncio_run": asyncio_run,
    "stamped": stamped,
    "no_such_package": no_such_package,
    "fails_to_load": fails_to_load,
    "moody": moody,
    "picky": picky,
    "crowded": crowded,
    "crowded_apart": crowded_apart,
}


def log(kind, uri, name):
    """Log and register one model; returns a request that fits it. `KIND+six==1.17.0` has one requirement more."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    kind, *more = kind.split("+")
    flavor, model, options, requirements, request = KINDS[kind]()
    requirements = [*requirements, *more]
    kind_of_model = flavor.__name__.rpartition(".")[2]
    keyword = KEYWORDS.get(kind_of_model, kind_of_model + "_model")
    place = {"name": "model"} if int(mlflow.__version__.split(".")[0]) >= 3 else {"artifact_path": "model"}
    lines = [name if "==" in name else f"{name}=={metadata.version(name)}" for name in requirements if _wanted(name)]
    with mlflow.start_run():
        flavor.log_model(**{keyword: model}, **place, **options, registered_model_name=name, pip_requirements=lines)
    return request


def _wanted(name):
    """Older MLflow saves scikit-learn models without skops."""
    try:
        return name != "skops" or bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def log_each(lines):
    """Log and register what each line asks for; ends each with a line `REQUEST …`, or `FAILED`."""
    import git  # noqa: F401 - what takes long, once: MLflow imports this to log a model
    import mlflow.sklearn  # noqa: F401
    import skops.io  # noqa: F401
    from sklearn import datasets, linear_model  # noqa: F401

    for line in lines:
        kind, uri, name, token = line.split()
        child = os.fork()
        if not child:
            os.environ["MLFLOW_TRACKING_TOKEN"] = token
            print("REQUEST " + json.dumps(log(kind, uri, name)), flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            print("FAILED", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        print("REQUEST " + json.dumps(log(*sys.argv[1:4])))
    else:
        log_each(sys.stdin)
