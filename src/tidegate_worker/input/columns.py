"""Columns of a table against a signature: what fits, where it does not, and the values in the signature's types.

The conversions are those of MLflow's scoring server. It lets values change silently, and these do not: a fraction is no
`long`, text is no `boolean`, a number beyond 32 bits is no `integer`, and what is missing stays missing.
"""

import base64
import math
from typing import Any, Callable, Dict, List, Optional, Sequence

from tidegate_worker.input import datetimes
from tidegate_worker.input.signature import Column, Signature
from tidegate_worker.input.table import Table
from tidegate_worker.ipc.refusal import Refusal, bad_request, json_type

_BITS = {"integer": 31, "long": 63}
# From here on a number is rounded to infinity in the 32 bits of a `float`.
_FLOAT_LIMIT = 2.0**128 - 2.0**103
_ASCII = "ASCII text"  # what a binary column takes where it is not base64
# What an array of them may hold: of others, MLflow's own check would make True, "None" or "nan".
_IN_ARRAYS = {"boolean": (bool,), "string": (str, bool, int, float), "binary": (str,)}


def frame(table: Table, signature: Signature, as_arrays: bool = False) -> Any:
    """The pandas DataFrame that a model with this column-based signature takes. Raises Refusal.

    `as_arrays`: convert as MLflow does for `inputs` and `instances`, where text in a `binary` column is taken as it is.
    """
    import pandas as pd

    chosen = _chosen(table, signature)
    columns = {
        label: converted(column, table.columns[label], _place(column, position), as_arrays)
        for position, (label, column) in enumerate(chosen.items(), 1)
    }
    return pd.DataFrame(columns, index=table.labels if table.labels is not None else range(table.rows))


def _chosen(table: Table, signature: Signature) -> Dict[Any, Column]:
    """The table's labels that the signature wants; others are ignored, as MLflow does."""
    if signature.named:
        missing = [column.name for column in signature.columns if column.required and column.name not in table.columns]
        if missing:
            raise missing_inputs("column", missing)
        return {column.name: column for column in signature.columns if column.name in table.columns}
    if len(table.columns) < len(signature.columns):
        raise bad_request(f"The model takes {len(signature.columns)} columns; the table has {len(table.columns)}.")
    return dict(zip(table.columns, signature.columns))


def missing_inputs(what: str, names: Sequence[Any]) -> Refusal:
    """The refusal that says which required names are missing."""
    listed = ", ".join(str(name) if isinstance(name, int) else f'"{name}"' for name in names[:20])
    more = ", …" if len(names) > 20 else ""
    # Keys of JSON objects are text.
    hint = ' Integers name them: send "dataframe_split".' if any(isinstance(name, int) for name in names) else ""
    plural, verb = ("s", "are") if len(names) > 1 else ("", "is")
    return bad_request(f"The required {what}{plural} {listed}{more} {verb} missing.{hint}")


def converted(column: Column, values: List[Any], place: str, as_arrays: bool = False) -> Any:
    """One column's values, as pandas takes them. Raises Refusal with the first row that does not fit."""
    column = _taken_as(column, as_arrays)
    try:
        misfit = first_misfit(column, values)
        if misfit is None:
            return _convert(column, values, as_arrays)
    except (ValueError, TypeError, OverflowError):
        misfit = _first_misfit(column, values)
    if misfit is None:
        raise bad_request(f"{place}: expected {column.title}.")
    expected = f"{column.title} {datetimes.RANGE}" if column.kind == "datetime" else column.title
    found = json_type(values[misfit]) if column.kind or not values[misfit] else "null or another type within it"
    raise bad_request(f"row {misfit + 1}, {place}: expected {expected}, found {found}.")


def first_misfit(column: Column, values: List[Any]) -> Optional[int]:
    """The first row whose value the column cannot hold. Quick where all values have the type itself.

    Dates are not looked at: their conversion tells.
    """
    if column.kind == "datetime" or set(map(type, values)) <= _NATIVE.get(column.kind, frozenset()):
        return None
    return _first_misfit(column, values)


def _first_misfit(column: Column, values: List[Any]) -> Optional[int]:
    if column.kind == "datetime":
        return datetimes.first_misfit(values)
    return next((row for row, value in enumerate(values) if not _fits(column, value)), None)


def _place(column: Column, position: int) -> str:
    return f"value {position}" if column.name is None else f'column "{column.name}"'


# --- which values a kind of column holds ---

# Types that need no look at the values: what does not fit the range fails when it is converted.
_NATIVE = {
    "boolean": frozenset({bool}),
    "long": frozenset({int}),
    "float": frozenset({float, int}),
    "double": frozenset({float, int}),
    "string": frozenset({str}),
}


def _fits(column: Column, value: Any) -> bool:
    fits = _FITS.get(column.kind)
    return _fits_compound(value, column.type) if fits is None else fits(value, column)


def _is_null(value: Any) -> bool:
    return value is None or value != value


def _fits_integer(value: Any, column: Column) -> bool:
    if isinstance(value, str):
        value = _parsed(int, value)
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    limit = 1 << _BITS[column.kind]
    return isinstance(value, int) and -limit <= value < limit


def _fits_double(value: Any, column: Column) -> bool:
    if value is None:
        return True
    number = _parsed(float, value) if isinstance(value, (str, int, float)) else None
    if number is None:
        return False
    if math.isinf(number):  # a number too large for 64 bits, unless it says so
        return not isinstance(value, str) or value.strip().lstrip("+-")[:3].lower() == "inf"
    return column.kind == "double" or abs(number) < _FLOAT_LIMIT or math.isnan(number)


def _fits_boolean(value: Any, column: Column) -> bool:
    if _is_null(value):
        return not column.required
    return isinstance(value, (bool, int, float)) and value in (0, 1)


def _fits_string(value: Any, _column: Column) -> bool:
    return not isinstance(value, (list, dict))


def _fits_binary(value: Any, column: Column) -> bool:
    if _is_null(value):
        return not column.required
    try:
        return isinstance(value, str) and _decoded(value) is not None
    except ValueError:
        return False


def _fits_ascii(value: Any, column: Column) -> bool:
    return not column.required if _is_null(value) else isinstance(value, str) and value.isascii()


def _fits_compound(value: Any, kind: Any) -> bool:
    """Whether MLflow, whose own check of lists and objects comes later, will refuse or keep what is in them.

    Attributes tell Array, Object and Map apart in every version that has them.
    """
    if isinstance(value, list) and hasattr(kind, "dtype"):
        takes = _IN_ARRAYS.get(getattr(kind.dtype, "name", ""))
        if takes is not None:
            return all(isinstance(item, takes) and not _is_null(item) for item in value)
        return all(_fits_compound(item, kind.dtype) for item in value)
    if isinstance(value, dict) and hasattr(kind, "properties"):
        kinds = {item.name: item.dtype for item in kind.properties}
        return all(_fits_compound(item, kinds.get(name)) for name, item in value.items())
    if isinstance(value, dict) and hasattr(kind, "value_type"):
        return all(_fits_compound(item, kind.value_type) for item in value.values())
    return True


_FITS: Dict[str, Callable[[Any, Column], bool]] = {
    "boolean": _fits_boolean,
    "integer": _fits_integer,
    "long": _fits_integer,
    "float": _fits_double,
    "double": _fits_double,
    "string": _fits_string,
    "binary": _fits_binary,
    _ASCII: _fits_ascii,
}


def _parsed(kind: Callable[[Any], Any], value: Any) -> Any:
    try:
        return kind(value)
    except (ValueError, OverflowError):
        return None


# --- conversion ---


def convert(column: Column, values: List[Any], as_arrays: bool = False) -> Any:
    """One column's values, as pandas takes them, when their types fit. Raises ValueError where one does not."""
    return _convert(_taken_as(column, as_arrays), values, as_arrays)


def _taken_as(column: Column, as_arrays: bool) -> Column:
    return column._replace(kind=_ASCII) if as_arrays and column.kind == "binary" else column


def _convert(column: Column, values: List[Any], as_arrays: bool) -> Any:
    kind = column.kind
    if kind == "string":
        return _strings(values, as_arrays)
    if kind == "datetime":
        return datetimes.nanoseconds(values)
    if kind == "boolean":
        return _booleans(values)
    if kind == "binary":
        return _objects([None if _is_null(value) else _decoded(value) for value in values])
    if kind == _ASCII:
        return _objects([None if _is_null(value) else value.encode("ascii") for value in values])
    if kind == "float":
        import numpy as np

        with np.errstate(over="ignore"):  # which is looked for
            return numbers(values, column.type.to_numpy())
    if kind:
        return numbers(values, column.type.to_numpy())
    if as_arrays and type(column.type).__name__ == "Array":
        import numpy as np

        return [value if _is_null(value) else np.array(value) for value in values]
    if any(hasattr(column.type, name) for name in ("dtype", "properties", "value_type")):
        return [None if _is_null(value) else value for value in values]  # as which MLflow's own check knows it
    return values


def numbers(values: List[Any], dtype: Any) -> Any:
    """An array of numbers, of any dimensions. Raises OverflowError where the type cannot hold one of them."""
    import numpy as np

    if dtype.itemsize == 8 or dtype.kind not in "iuf":
        return np.array(values, dtype=dtype)
    if dtype.kind == "f":
        narrow = np.array(values, dtype=dtype)
        infinite = np.isinf(narrow)
        if np.count_nonzero(infinite) and not np.isinf(np.array(values, dtype=np.float64)[infinite]).all():
            raise OverflowError("out of range")
        return narrow
    wide, limits = np.array(values, dtype=np.int64), np.iinfo(dtype)  # numpy 1 wraps what is out of range
    if wide.size and (wide.min() < limits.min or wide.max() > limits.max):
        raise OverflowError("out of range")
    return wide.astype(dtype)


def _booleans(values: List[Any]) -> Any:
    """Of numpy's type, or objects where some are missing: numpy would make False of None, and True of NaN."""
    import numpy as np

    if set(map(type, values)) != {bool} and any(map(_is_null, values)):
        return _objects([None if _is_null(value) else bool(value) for value in values])
    return np.array(values, dtype=bool)


def _decoded(text: str) -> bytes:
    """The bytes in base64, of the usual alphabet or the one for URLs; in lines or not. Raises ValueError."""
    plain = text.replace("\n", "").replace("\r", "")
    if "-" in plain or "_" in plain:
        if "+" in plain or "/" in plain:
            raise ValueError("two alphabets")
        plain = plain.replace("-", "+").replace("_", "/")
    found = base64.b64decode(plain)
    if base64.b64encode(found).decode() != plain:  # b64decode leaves out what is not base64
        raise ValueError("not base64")
    return found


def _strings(values: List[Any], as_arrays: bool) -> Any:
    """Text and nulls; of other types, `inputs` and `instances` make text, as numpy would, and tables keep them."""
    if as_arrays:
        values = [value if isinstance(value, str) or _is_null(value) else str(value) for value in values]
    if values and all(value is None or isinstance(value, str) for value in values):
        return values  # pandas chooses: object until version 2, str from version 3
    return _objects(values)


def _objects(values: List[Any]) -> Any:
    import numpy as np

    column: Any = np.empty(len(values), dtype=object)
    column[:] = values
    return column
