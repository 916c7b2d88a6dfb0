"""Whether two answers are the same: exactly, but for the last digits of floats."""

from typing import Any, NamedTuple

# How far floats may lie apart, relative to their size, by the precision that they were computed in.
SINGLE, DOUBLE = 1e-5, 1e-9
# Below this share of the tolerance, times one, a difference counts as none: sums that cancel end near zero.
_NEAR_ZERO = 1e-3


class Comparison(NamedTuple):
    """What a comparison found."""

    same: bool
    exact: bool


def compare(one: Any, other: Any, tolerance: float) -> Comparison:
    """Compare two values out of `predictions.plain`: lengths, keys, types, texts and integers exactly."""
    if one == other and _types_agree(one, other):
        return Comparison(True, True)
    return Comparison(_close(one, other, tolerance), False)


def tolerance(output: Any) -> float:
    """How far a model's floats may lie apart, by the precision of what it has returned."""
    dtypes = getattr(output, "dtypes", None)  # a DataFrame's; a Series' is its dtype
    found = list(dtypes) if dtypes is not None and hasattr(dtypes, "__iter__") else [getattr(output, "dtype", None)]
    if isinstance(output, list):
        found = [getattr(item, "dtype", None) for item in output[:8]]
    return SINGLE if any(_is_single(dtype) for dtype in found) else DOUBLE


def _is_single(dtype: Any) -> bool:
    return getattr(dtype, "kind", "") == "f" and bool(getattr(dtype, "itemsize", 8) < 8)


def _types_agree(one: Any, other: Any) -> bool:
    """1 == 1.0 == True in Python, and not in JSON."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return all(map(_types_agree, one, other))
    return all(_types_agree(value, other[key]) for key, value in one.items()) if isinstance(one, dict) else True


def _close(one: Any, other: Any, tolerance: float) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return bool(abs(one - other) <= tolerance * max(abs(one), abs(other), _NEAR_ZERO))
    if isinstance(one, list):
        return len(one) == len(other) and all(_close(a, b, tolerance) for a, b in zip(one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(_close(value, other[key], tolerance) for key, value in one.items())
    return bool(one == other)
