"""A model's output as JSON. It is always valid JSON, and the same with and without msgspec.

The shapes are those of MLflow's scoring server. Two things differ: NaN, infinity, NaT and pandas.NA become null, and
dates are in ISO 8601 everywhere.
"""

import base64
import datetime as dt
import decimal
import json
import math
from typing import Any, Callable, List

from tidegate_worker.ipc import wire
from tidegate_worker.ipc.refusal import Refusal

# Encodes plain values as JSON text: msgspec's encoder if it is installed, else the standard library's.
Encoder = Callable[[Any], bytes]


def dumps(value: Any) -> bytes:
    """The standard library's encoder, as an `Encoder`."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def encode(output: Any, encoder: Encoder = dumps) -> bytes:
    """The body of an answer with this output. Raises Refusal for a type that JSON cannot hold."""
    try:
        return write(plain(output), encoder)
    except RecursionError:
        raise Refusal(wire.BAD_OUTPUT, "The model's output is nested too deeply for JSON.") from None


def write(value: Any, encoder: Encoder = dumps) -> bytes:
    """The body of an answer with a value that `plain` has made."""
    answer = {"predictions": value}
    if encoder is not dumps:
        try:
            return encoder(answer)
        except (ValueError, OverflowError, RecursionError):
            pass  # json.dumps writes more, such as a lone surrogate, which it escapes
    return dumps(answer)


def plain(value: Any) -> Any:
    """The value made of None, bool, int, finite float, str, list, and dict with str keys only. Raises Refusal."""
    kind = type(value)
    if kind in (str, bool, int) or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, str):  # the str() of a subclass may be another text, as for a member of an enumeration
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat() if value == value else None  # pandas.NaT is a datetime that does not equal itself
    if isinstance(value, decimal.Decimal):
        return plain(int(value) if value == value.to_integral_value() else float(value)) if value.is_finite() else None
    return _plain_of_library(value)


def _plain_of_library(value: Any) -> Any:
    """The value of a type of numpy, pandas or pydantic, or of a subclass of int or float, as a plain one."""
    library = type(value).__module__.partition(".")[0]
    if library == "numpy":
        return _plain_of_numpy(value)
    if library == "pandas":
        return _plain_of_pandas(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return plain(float.__float__(value))
    dump = getattr(value, "model_dump", None)  # pydantic's, as MLflow's type hints use
    if callable(dump):
        return plain(dump())
    return _of_subclass(value)


def _of_subclass(value: Any) -> Any:
    import numpy as np
    import pandas as pd

    if isinstance(value, np.ndarray):
        return _array(np.asarray(value))
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return _plain_of_pandas(value)
    raise Refusal(wire.BAD_OUTPUT, f"The model's output has a value of type {_name(value)}, which JSON cannot hold.")


def _plain_of_numpy(value: Any) -> Any:
    import numpy as np

    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.generic):
        return _array(np.asarray(value))
    return _of_subclass(value)


def _array(array: Any) -> Any:
    """An ndarray as nested lists; one without dimensions as a single value."""
    import numpy as np

    kind = array.dtype.kind
    if kind in "biuU":
        return array.tolist()
    if kind == "f":
        if array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        finite = np.isfinite(array)
        return array.tolist() if finite.all() else np.where(finite, array.astype(object), None).tolist()
    if kind == "M":
        import pandas as pd

        stamps = [plain(pd.Timestamp(item)) for item in array.ravel()]
        return np.array(stamps, dtype=object).reshape(array.shape).tolist()
    if kind in "OSV":
        return plain(array.tolist())
    raise Refusal(wire.BAD_OUTPUT, f"The model's output is an array of {array.dtype}, which JSON cannot hold.")


def _plain_of_pandas(value: Any) -> Any:
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return _records(list(value.columns), [_column(value.iloc[:, at]) for at in range(value.shape[1])], len(value))
    if isinstance(value, pd.Series):
        name = 0 if value.name is None else value.name
        return _records([name], [_column(value)], len(value))
    if value is pd.NA:
        return None
    return _of_subclass(value)


def _records(names: List[Any], columns: List[List[Any]], rows: int) -> List[Any]:
    keys = [_key(name) for name in names]
    return [dict(zip(keys, row)) for row in zip(*columns)] if columns else [{} for _ in range(rows)]


def _column(series: Any) -> Any:
    dtype = getattr(series.dtype, "kind", "O")
    is_numpy = type(series.dtype).__module__.partition(".")[0] == "numpy"
    return _array(series.to_numpy()) if is_numpy and dtype in "biufM" else plain(series.tolist())


def _key(key: Any) -> str:
    """A key of a dict as JSON has it. Numbers, booleans and None are written as json.dumps does."""
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, (bool, int, float)):
        return json.dumps(key)
    if type(key).__module__ == "numpy" and hasattr(key, "item"):
        return _key(key.item())
    raise Refusal(wire.BAD_OUTPUT, f"The model's output has a key of type {_name(key)}; in JSON a key must be text.")


def _name(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
