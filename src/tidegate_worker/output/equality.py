"""The comparison of two answers: they must be equal, but for the last digits of floats."""

from typing import Any, NamedTuple

# How far floats may differ, relative to the larger one, if they were computed in single or in double precision.
SINGLE, DOUBLE = 1e-5, 1e-9
# Floats nearer to zero than this are compared as if they were so large: a sum whose terms cancel has few exact digits.
_NEAR_ZERO = 1e-3


class Comparison(NamedTuple):
    """Whether two answers are the same within the tolerance, and whether they are the same in each digit."""

    same: bool
    exact: bool


def compare(left: Any, right: Any, tolerance: float) -> Comparison:
    """Compare two values of `encoder.plain`. Only floats may differ, by `tolerance` relative to the larger one."""
    if left == right and _types_agree(left, right):
        return Comparison(True, True)
    return Comparison(_close(left, right, tolerance), False)


def tolerance(output: Any) -> float:
    """How far the floats of this output may differ, by the precision of its dtypes."""
    dtypes = getattr(output, "dtypes", None)  # a DataFrame's; a Series' is its dtype
    kinds = list(dtypes) if dtypes is not None and hasattr(dtypes, "__iter__") else [getattr(output, "dtype", None)]
    if isinstance(output, list):
        kinds = [getattr(item, "dtype", None) for item in output[:8]]
    return SINGLE if any(_is_single(dtype) for dtype in kinds) else DOUBLE


def _is_single(dtype: Any) -> bool:
    return getattr(dtype, "kind", "") == "f" and bool(getattr(dtype, "itemsize", 8) < 8)


def _types_agree(left: Any, right: Any) -> bool:
    """Whether values that are equal in Python are so in JSON: there 1, 1.0 and true are different."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return all(map(_types_agree, left, right))
    return all(_types_agree(value, right[key]) for key, value in left.items()) if isinstance(left, dict) else True


def _close(left: Any, right: Any, tolerance: float) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return bool(abs(left - right) <= tolerance * max(abs(left), abs(right), _NEAR_ZERO))
    if isinstance(left, list):
        return len(left) == len(right) and all(_close(a, b, tolerance) for a, b in zip(left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(_close(value, right[key], tolerance) for key, value in left.items())
    return bool(left == right)
