"""Nested lists as numpy arrays in the type and shape of a signature. A refusal names the place that does not fit."""

import math
from typing import Any, Iterator, List, Optional, Tuple

from tidegate_worker.input.signature import Tensor
from tidegate_worker.ipc.refusal import Refusal, bad_request, json_type

Path = Tuple[int, ...]


def array(value: Any, tensor: Tensor, what: str) -> Any:
    """The nested lists as an array in the tensor's type and shape.

    Raises Refusal, whose sentence begins with `what`.
    """
    result = typed(value, tensor.dtype, what)
    if not _shape_fits(result, tensor):
        raise bad_request(f"{what} has the shape {_shape(result.shape)}; the model takes {_shape(tensor.shape)}.")
    return result


def typed(value: Any, dtype: Any, what: str) -> Any:
    """The nested lists as an array of this type; with None, of the type that numpy finds. Raises Refusal.

    numpy would cut off fractions, make True of any text and text of null, and wrap or cut values that are too large.
    Here such values do not fit.
    """
    import numpy as np

    try:
        with np.errstate(over="ignore"):
            result = np.array(value) if dtype is None else np.array(value, dtype=dtype)
        if dtype is None or _lossless(value, dtype, result):
            return result
    except (ValueError, TypeError, OverflowError):
        pass
    raise _misfit(value, dtype, what)


def _lossless(value: Any, dtype: Any, result: Any) -> bool:
    """Whether numpy has changed no value in the result."""
    import numpy as np

    if dtype.kind in "iu":
        natural = np.array(value)
        limits = np.iinfo(dtype)  # numpy 1 wraps numbers out of range
        if natural.size == 0 or natural.dtype.kind == "b":
            return True
        if natural.dtype.kind in "iu":
            return bool(int(natural.min()) >= limits.min and int(natural.max()) <= limits.max)
        return all(_is_whole(item, limits.min, limits.max) for item in _leaves(value))
    if dtype.kind == "b":
        natural = np.array(value)
        return natural.size == 0 or natural.dtype.kind == "b" or _zeros_and_ones(natural)
    if dtype.kind == "f":
        infinite = np.isinf(result)
        return not infinite.any() or all(map(_may_be_infinite, _leaves(value), infinite.ravel().tolist()))
    if dtype.kind in "US":
        return all(map(_is_text_of, _leaves(value), result.ravel().tolist()))
    if dtype.kind == "M":
        return all(map(_is_date_of, _leaves(value), result.ravel()))
    return True


def _zeros_and_ones(natural: Any) -> bool:
    import numpy as np

    return natural.dtype.kind in "iuf" and bool(np.isin(natural, (0, 1)).all())


def _leaves(value: Any) -> Iterator[Any]:
    """The values in nested lists, in numpy's order."""
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _is_whole(item: Any, least: int, most: int) -> bool:
    if isinstance(item, float) and not item.is_integer():
        return False
    return isinstance(item, (str, int, float)) and least <= int(item) <= most


def _may_be_infinite(item: Any, infinite: bool) -> bool:
    if not infinite or isinstance(item, float):
        return not infinite or math.isinf(item)
    return isinstance(item, str) and item.strip().lstrip("+-")[:3].lower() == "inf"


def _is_text_of(item: Any, text: Any) -> bool:
    """Whether the text is whole. Numbers become text, as in MLflow."""
    if isinstance(item, str):
        return bool(item == (text.decode("latin-1") if isinstance(text, bytes) else text))
    return isinstance(item, (bool, int, float)) and item == item


def _is_date_of(item: Any, date: Any) -> bool:
    """Whether numpy has neither wrapped nor cut the date: it is the same in the unit of its text, which can hold it."""
    import numpy as np

    if isinstance(item, str):
        own: Any = np.datetime64(item)
        if np.isnat(own) or np.isnat(date):
            return bool(np.isnat(own) and np.isnat(date))
        same_day = own.astype("M8[D]") == date.astype("M8[D]")
        return bool(same_day and own == date.astype(own.dtype))
    return item is None or (isinstance(item, int) and not isinstance(item, bool) and not np.isnat(date))


def _shape_fits(result: Any, tensor: Tensor) -> bool:
    """Whether the shape fits, as MLflow has it: a signature may describe ragged arrays of objects, and these fit."""
    expected = tensor.shape
    if result.dtype.kind == "O" and (expected == (-1,) or (-1 in expected[1:] and result.ndim == 1)):
        return True
    if len(expected) != result.ndim:
        return False
    return all(length in (-1, actual) for length, actual in zip(expected, result.shape))


def _misfit(value: Any, dtype: Any, what: str) -> Refusal:
    ragged = _first_ragged(value)
    if ragged is not None:
        return bad_request(f"{what}{_place(ragged)}: lists at the same depth must have the same length.")
    kind = "a number" if dtype is None else str(dtype)
    leaf = None if dtype is None else _first_misfit(value, dtype)
    if leaf is None:
        return bad_request(f"{what}: expected nested lists of {kind}.")
    path, value = leaf
    return bad_request(f"{what}{_place(path)}: expected {kind}, found {json_type(value)}.")


def _first_ragged(value: Any, path: Path = ()) -> Optional[Path]:
    """The path of the first list that has another length than its siblings, or is among single values; else None."""
    level: List[Tuple[Path, Any]] = [(path, value)]
    while level and all(isinstance(item, list) for _, item in level):
        width = len(level[0][1])
        for at, item in level:
            if len(item) != width:
                return at
        level = [((*at, index), child) for at, item in level for index, child in enumerate(item)]
    if not level or not any(isinstance(item, list) for _, item in level):
        return None
    first = isinstance(level[0][1], list)
    return next(at for at, item in level if isinstance(item, list) is not first)


def _first_misfit(value: Any, dtype: Any) -> Optional[Tuple[Path, Any]]:
    import numpy as np

    stack: List[Tuple[Path, Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, list):
            stack.extend(((*path, index), item[index]) for index in reversed(range(len(item))))
            continue
        try:
            with np.errstate(over="ignore"):
                fits = not isinstance(item, dict) and _lossless(item, dtype, np.array(item, dtype=dtype))
        except (ValueError, TypeError, OverflowError):
            fits = False
        if not fits:
            return path, item
    return None


def _place(path: Path) -> str:
    """The path in words, counted from one: `, row 3, value 1, 5`."""
    if not path:
        return ""
    rest = ", ".join(str(index + 1) for index in path[1:])
    return f", row {path[0] + 1}" + (f", value {rest}" if rest else "")


def _shape(shape: Tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
