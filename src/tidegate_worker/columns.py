"""Columns of a table against a signature: what fits, where it does not, and the values in the signature's types.

The conversions are those of MLflow's scoring server. It lets values change silently, and these do not: a fraction is no
`long`, text is no `boolean`, and a number beyond 32 bits is no `integer`.
"""

import base64
import binascii
from typing import Any, Callable, Dict, List, Optional, Sequence

from tidegate_worker.refusal import Refusal, bad_request, json_type
from tidegate_worker.signature import Column, Signature
from tidegate_worker.table import Table

_BITS = {"integer": 31, "long": 63}
_ASCII = "ASCII text"  # what a binary column takes where it is not base64


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


def missing_inputs(what: str, names: Sequence[Optional[str]]) -> Refusal:
    """The refusal that says which required names are missing."""
    listed = ", ".join(f'"{name}"' for name in names[:20]) + (", …" if len(names) > 20 else "")
    return bad_request(
        f"The required {what}{'s' if len(names) > 1 else ''} {listed} {'are' if len(names) > 1 else 'is'} missing."
    )


def converted(column: Column, values: List[Any], place: str, as_arrays: bool = False) -> Any:
    """One column's values, as pandas takes them. Raises Refusal with the first row that does not fit."""
    column = _taken_as(column, as_arrays)
    try:
        misfit = first_misfit(column, values)
        if misfit is None:
            return _convert(column, values, as_arrays)
    except (ValueError, TypeError, OverflowError):
        misfit = next((row for row, value in enumerate(values) if not _fits(column, value)), None)
    if misfit is None:
        raise bad_request(f"{place}: expected {column.title}.")
    raise bad_request(f"row {misfit + 1}, {place}: expected {column.title}, found {json_type(values[misfit])}.")


def first_misfit(column: Column, values: List[Any]) -> Optional[int]:
    """The first row whose value the column cannot hold. Quick where all values have the type itself."""
    if set(map(type, values)) <= _NATIVE.get(column.kind, frozenset()):
        return None
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
    return fits is None or fits(value, column)


def _is_null(value: Any) -> bool:
    return value is None or value != value


def _fits_integer(value: Any, column: Column) -> bool:
    if isinstance(value, str):
        value = _parsed(int, value)
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    limit = 1 << _BITS[column.kind]
    return isinstance(value, int) and -limit <= value < limit


def _fits_double(value: Any, _column: Column) -> bool:
    if isinstance(value, (str, int)):
        value = _parsed(float, value)
        return value is not None
    return value is None or isinstance(value, float)


def _fits_boolean(value: Any, column: Column) -> bool:
    if _is_null(value):
        return not column.required
    return isinstance(value, (bool, int, float)) and value in (0, 1)


def _fits_string(value: Any, _column: Column) -> bool:
    return not isinstance(value, (list, dict))


def _fits_binary(value: Any, _column: Column) -> bool:
    if not isinstance(value, str):
        return False
    try:
        base64.decodebytes(value.encode())
    except (binascii.Error, ValueError):
        return False
    return True


def _fits_datetime(value: Any, _column: Column) -> bool:
    if isinstance(value, (bool, list, dict)):
        return False
    try:
        _datetimes([value])
    except (ValueError, TypeError, OverflowError):
        return False
    return True


_FITS: Dict[str, Callable[[Any, Column], bool]] = {
    "boolean": _fits_boolean,
    "integer": _fits_integer,
    "long": _fits_integer,
    "float": _fits_double,
    "double": _fits_double,
    "string": _fits_string,
    "binary": _fits_binary,
    "datetime": _fits_datetime,
    _ASCII: lambda value, _column: isinstance(value, str) and value.isascii(),
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
    import numpy as np

    if column.kind == "string":
        return _strings(values, as_arrays)
    if column.kind == "binary":
        return _objects([base64.decodebytes(value.encode()) for value in values])
    if column.kind == _ASCII:
        return _objects([value.encode("ascii") for value in values])
    if column.kind == "datetime":
        return _datetimes(values)
    if column.kind:
        return np.array(values, dtype=column.type.to_numpy())
    if as_arrays and type(column.type).__name__ == "Array":
        return [value if _is_null(value) else np.array(value) for value in values]
    return values


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


def _datetimes(values: List[Any]) -> Any:
    """UTC without a zone, in nanoseconds: MLflow's `datetime`."""
    import pandas as pd

    parsed = pd.to_datetime(pd.Series(values, dtype=object if values else "datetime64[ns]"), utc=True)
    return parsed.dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
