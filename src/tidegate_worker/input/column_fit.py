"""The check whether a column can hold a value, by the column's type.

It takes the values that MLflow's scoring server takes without a silent change. `columns` converts them.
"""

import base64
import math
from typing import Any, Callable, Dict, List, Optional

from tidegate_worker.input import datetimes
from tidegate_worker.input.signature import Column

_BITS = {"integer": 31, "long": 63}
# From this number on, a `float` of 32 bits is infinity.
_FLOAT_LIMIT = 2.0**128 - 2.0**103
ASCII = "ASCII text"  # what a binary column takes in `inputs` and `instances`, in place of base64
# The types that an array may hold, by its element type. MLflow would make True, "None" or "nan" of others.
_IN_ARRAYS = {"boolean": (bool,), "string": (str, bool, int, float), "binary": (str,)}


def first_misfit(column: Column, values: List[Any]) -> Optional[int]:
    """The first row whose value the column cannot hold; None if there is none.

    Dates are checked by their conversion.
    """
    if column.kind == "datetime" or set(map(type, values)) <= _NATIVE.get(column.kind, frozenset()):
        return None
    return slow_first_misfit(column, values)


def slow_first_misfit(column: Column, values: List[Any]) -> Optional[int]:
    """`first_misfit` with a look at each value."""
    if column.kind == "datetime":
        return datetimes.first_misfit(values)
    return next((row for row, value in enumerate(values) if not _fits(column, value)), None)


# Python types that fit a column whatever the value. A number out of range fails when it is converted.
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


def is_null(value: Any) -> bool:
    """Whether the value stands for a missing one: None or NaN."""
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
    if math.isinf(number):  # unless the text says infinity, the number is too large for 64 bits
        return not isinstance(value, str) or value.strip().lstrip("+-")[:3].lower() == "inf"
    return column.kind == "double" or abs(number) < _FLOAT_LIMIT or math.isnan(number)


def _fits_boolean(value: Any, column: Column) -> bool:
    if is_null(value):
        return not column.required
    return isinstance(value, (bool, int, float)) and value in (0, 1)


def _fits_string(value: Any, _column: Column) -> bool:
    return not isinstance(value, (list, dict))


def _fits_binary(value: Any, column: Column) -> bool:
    if is_null(value):
        return not column.required
    try:
        return isinstance(value, str) and from_base64(value) is not None
    except ValueError:
        return False


def _fits_ascii(value: Any, column: Column) -> bool:
    return not column.required if is_null(value) else isinstance(value, str) and value.isascii()


def _fits_compound(value: Any, kind: Any) -> bool:
    """Whether MLflow's own check, which comes later, refuses or keeps each value in a list or an object.

    Array, Object and Map are told apart by their attributes, which all versions of MLflow share.
    """
    if isinstance(value, list) and hasattr(kind, "dtype"):
        takes = _IN_ARRAYS.get(getattr(kind.dtype, "name", ""))
        if takes is not None:
            return all(isinstance(item, takes) and not is_null(item) for item in value)
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
    ASCII: _fits_ascii,
}


def _parsed(kind: Callable[[Any], Any], value: Any) -> Any:
    try:
        return kind(value)
    except (ValueError, OverflowError):
        return None


def from_base64(text: str) -> bytes:
    """The bytes of a base64 text, in the standard or the URL-safe alphabet; it may have line breaks.

    Raises ValueError.
    """
    plain = text.replace("\n", "").replace("\r", "")
    if "-" in plain or "_" in plain:
        if "+" in plain or "/" in plain:
            raise ValueError("two alphabets")
        plain = plain.replace("-", "+").replace("_", "/")
    decoded = base64.b64decode(plain)
    if base64.b64encode(decoded).decode() != plain:  # b64decode ignores other characters
        raise ValueError("not base64")
    return decoded
