"""Tensors against a signature: numpy arrays out of nested lists, and where a list is ragged or a value does not fit."""

from typing import Any, List, Optional, Tuple

from tidegate_worker.refusal import Refusal, bad_request, json_type
from tidegate_worker.signature import Tensor

Path = Tuple[int, ...]


def array(value: Any, tensor: Tensor, what: str) -> Any:
    """The numpy array of nested lists, in the tensor's type and shape. Raises Refusal, which says `what`."""
    result = typed(value, tensor.dtype, what)
    if not _shape_fits(result, tensor):
        raise bad_request(f"{what} has the shape {_shape(result.shape)}; the model takes {_shape(tensor.shape)}.")
    return result


def typed(value: Any, dtype: Any, what: str) -> Any:
    """The numpy array of nested lists in a type; of any type when `dtype` is None. Raises Refusal.

    numpy would cut fractions off and take any text for True; here such values do not fit.
    """
    import numpy as np

    try:
        result = np.array(value) if dtype is None else np.array(value, dtype=dtype)
        if dtype is None or dtype.kind not in "iub" or _lossless(value, dtype):
            return result
    except (ValueError, TypeError, OverflowError):
        pass
    raise _misfit(value, dtype, what)


def _lossless(value: Any, dtype: Any) -> bool:
    import numpy as np

    natural = np.array(value)
    if natural.size == 0 or natural.dtype.kind == "b":
        return True
    if dtype.kind == "b":
        return natural.dtype.kind in "iuf" and bool(np.isin(natural, (0, 1)).all())
    if natural.dtype.kind in "US":
        return True  # numpy has parsed each as an integer
    if natural.dtype.kind == "f" and not (natural == np.floor(natural)).all():
        return False
    limits = np.iinfo(dtype)  # numpy 1 wraps what is out of range
    return bool(natural.min() >= limits.min and natural.max() <= limits.max)


def _shape_fits(result: Any, tensor: Tensor) -> bool:
    """As MLflow has it: ragged arrays of objects are let through where a signature describes them."""
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
    path, found = leaf
    return bad_request(f"{what}{_place(path)}: expected {kind}, found {json_type(found)}.")


def _first_ragged(value: Any, path: Path = ()) -> Optional[Path]:
    """Where the first list is that has another length than its siblings, or stands among single values."""
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
            np.array(item, dtype=dtype)
            fits = not isinstance(item, dict) and (dtype.kind not in "iub" or _lossless(item, dtype))
        except (ValueError, TypeError, OverflowError):
            fits = False
        if not fits:
            return path, item
    return None


def _place(path: Path) -> str:
    """Counted from one: `, row 3, value 1, 5`."""
    if not path:
        return ""
    rest = ", ".join(str(index + 1) for index in path[1:])
    return f", row {path[0] + 1}" + (f", value {rest}" if rest else "")


def _shape(shape: Tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
