"""Columns of a table in the types of a signature. A refusal names the first row that does not fit.

The conversions are those of MLflow's scoring server, but no value changes silently: a fraction is no `long`, text is no
`boolean`, a number beyond 32 bits is no `integer`, and a missing value stays missing.
"""

from typing import Any, Dict, List, Sequence

from tidegate_worker.input import datetimes
from tidegate_worker.input.column_fit import ASCII, first_misfit, from_base64, is_null, slow_first_misfit
from tidegate_worker.input.signature import Column, Signature
from tidegate_worker.input.table import Table
from tidegate_worker.ipc.refusal import Refusal, bad_request, json_type


def frame(table: Table, signature: Signature, as_arrays: bool = False) -> Any:
    """The table as a pandas DataFrame in the types of a column-based signature. Raises Refusal.

    `as_arrays`: convert as MLflow does for `inputs` and `instances`, where text in a `binary` column is no base64.
    """
    import pandas as pd

    chosen = _signature_columns(table, signature)
    columns = {
        label: converted(column, table.columns[label], _place(column, position), as_arrays)
        for position, (label, column) in enumerate(chosen.items(), 1)
    }
    return pd.DataFrame(columns, index=table.labels if table.labels is not None else range(table.rows))


def _signature_columns(table: Table, signature: Signature) -> Dict[Any, Column]:
    """The columns of the signature by their labels in the table.

    Other columns of the table are ignored, as in MLflow.
    """
    if signature.named:
        missing = [column.name for column in signature.columns if column.required and column.name not in table.columns]
        if missing:
            raise missing_inputs("column", missing)
        return {column.name: column for column in signature.columns if column.name in table.columns}
    if len(table.columns) < len(signature.columns):
        raise bad_request(f"The model takes {len(signature.columns)} columns; the table has {len(table.columns)}.")
    return dict(zip(table.columns, signature.columns))


def missing_inputs(what: str, names: Sequence[Any]) -> Refusal:
    """The refusal that lists the required names that are missing."""
    listed = ", ".join(str(name) if isinstance(name, int) else f'"{name}"' for name in names[:20])
    more = ", …" if len(names) > 20 else ""
    hint = (
        ' Their names are integers, which keys of JSON objects cannot be: send "dataframe_split".'
        if any(isinstance(name, int) for name in names)
        else ""
    )
    plural, verb = ("s", "are") if len(names) > 1 else ("", "is")
    return bad_request(f"The required {what}{plural} {listed}{more} {verb} missing.{hint}")


def converted(column: Column, values: List[Any], place: str, as_arrays: bool = False) -> Any:
    """The values of one column as pandas takes them. Raises Refusal, which names the first row that does not fit."""
    column = _in_form(column, as_arrays)
    try:
        misfit = first_misfit(column, values)
        if misfit is None:
            return _convert(column, values, as_arrays)
    except (ValueError, TypeError, OverflowError):
        misfit = slow_first_misfit(column, values)
    if misfit is None:
        raise bad_request(f"{place}: expected {column.title}.")
    expected = f"{column.title} {datetimes.RANGE}" if column.kind == "datetime" else column.title
    found = json_type(values[misfit]) if column.kind or not values[misfit] else "null or another type within it"
    raise bad_request(f"row {misfit + 1}, {place}: expected {expected}, found {found}.")


def _place(column: Column, position: int) -> str:
    return f"value {position}" if column.name is None else f'column "{column.name}"'


# --- conversion ---


def convert(column: Column, values: List[Any], as_arrays: bool = False) -> Any:
    """The values of one column as pandas takes them, if their types fit. Raises ValueError if one does not."""
    return _convert(_in_form(column, as_arrays), values, as_arrays)


def _in_form(column: Column, as_arrays: bool) -> Column:
    """The column as the form of the request has it: `inputs` and `instances` have ASCII text for `binary`."""
    return column._replace(kind=ASCII) if as_arrays and column.kind == "binary" else column


def _convert(column: Column, values: List[Any], as_arrays: bool) -> Any:
    kind = column.kind
    if kind == "string":
        return _strings(values, as_arrays)
    if kind == "datetime":
        return datetimes.nanoseconds(values)
    if kind == "boolean":
        return _booleans(values)
    if kind == "binary":
        return _objects([None if is_null(value) else from_base64(value) for value in values])
    if kind == ASCII:
        return _objects([None if is_null(value) else value.encode("ascii") for value in values])
    if kind == "float":
        import numpy as np

        with np.errstate(over="ignore"):  # `numbers` finds an overflow
            return numbers(values, column.type.to_numpy())
    if kind:
        return numbers(values, column.type.to_numpy())
    if as_arrays and type(column.type).__name__ == "Array":
        import numpy as np

        return [value if is_null(value) else np.array(value) for value in values]
    if any(hasattr(column.type, name) for name in ("dtype", "properties", "value_type")):
        return [None if is_null(value) else value for value in values]  # MLflow's own check takes None only
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
    """An array of numpy's type, or of objects if a value is missing: numpy would make False of None and True of NaN."""
    import numpy as np

    if set(map(type, values)) != {bool} and any(map(is_null, values)):
        return _objects([None if is_null(value) else bool(value) for value in values])
    return np.array(values, dtype=bool)


def _strings(values: List[Any], as_arrays: bool) -> Any:
    """Texts and nulls. Other types become text in `inputs` and `instances`, as in numpy, and are kept in tables."""
    if as_arrays:
        values = [value if isinstance(value, str) or is_null(value) else str(value) for value in values]
    if values and all(value is None or isinstance(value, str) for value in values):
        return values  # pandas chooses: object until version 2, str from version 3
    return _objects(values)


def _objects(values: List[Any]) -> Any:
    import numpy as np

    column: Any = np.empty(len(values), dtype=object)
    column[:] = values
    return column
