"""Layouts: how the parsed requests of a batch become one input of the model, an array or a DataFrame.

The input is equal to what `input.decoder` makes of the same rows. `choose_path` proves that at the first start.
"""

from itertools import chain
from typing import Any, List, Sequence, Tuple

from tidegate_worker.fast.parser import Parsed
from tidegate_worker.input import columns
from tidegate_worker.input.signature import Signature

_NUMBERS = ("double", "float", "long", "integer")


class Layout:
    """Joins the requests of a batch for one model."""

    def array(self, requests: Sequence[Parsed]) -> Any:
        """The data as one array.

        Raises TypeError for columns of several types, and numpy's errors for values that do not fit.
        """
        raise TypeError(f"{type(requests[0]).__name__} has no array")

    def frame(self, requests: Sequence[Parsed]) -> Any:
        """The data as pyfunc takes it. Raises the errors of numpy and pandas for values that do not fit."""
        raise NotImplementedError


def layout_of(signature: Signature) -> Layout:
    """The layout for a signature that has a parser."""
    if signature.tensors:
        return TensorLayout(signature)
    kinds = {column.kind for column in signature.columns}
    return BlockLayout(signature) if len(kinds) == 1 and kinds <= set(_NUMBERS) else ColumnsLayout(signature)


class BlockLayout(Layout):
    """One array of two dimensions, for columns that are all of one numeric type."""

    def __init__(self, signature: Signature) -> None:
        import pandas as pd

        self.dtype = signature.columns[0].type.to_numpy()
        self._width = len(signature.columns)
        self._labels = pd.Index(_labels(signature))

    def array(self, requests: Sequence[Parsed]) -> Any:
        """One row for each row of the requests."""
        rows: List[Any] = []
        for request in requests:
            rows += zip(*request.data) if request.by_column else request.data
        return columns.numbers(rows, self.dtype)

    def frame(self, requests: Sequence[Parsed]) -> Any:
        """The array as a DataFrame with the columns' names."""
        import pandas as pd

        return pd.DataFrame(self.array(requests), columns=self._labels)


class ColumnsLayout(Layout):
    """A DataFrame column by column, for columns of several types."""

    def __init__(self, signature: Signature) -> None:
        self._columns = signature.columns
        self._labels = _labels(signature)

    def frame(self, requests: Sequence[Parsed]) -> Any:
        """A DataFrame with the columns' names."""
        import pandas as pd

        by_column = [r.data if r.by_column else tuple(zip(*r.data)) for r in requests]
        as_arrays = requests[0].as_arrays
        cells = {}
        for at, (label, column) in enumerate(zip(self._labels, self._columns)):
            cells[label] = _converted(column, [data[at] for data in by_column], as_arrays)
        return pd.DataFrame(cells, index=range(sum(r.rows for r in requests)))


class TensorLayout(Layout):
    """One tensor, with a name or without. `joins`: its first dimension is free, so requests may share a batch."""

    def __init__(self, signature: Signature) -> None:
        self._tensor = signature.tensors[0]
        self.joins = self._tensor.shape[0] == -1

    def array(self, requests: Sequence[Parsed]) -> Any:
        """The requests' items along the first dimension, under the tensor's name where it has one."""
        items = list(chain.from_iterable(request.data for request in requests))
        array, shape = columns.numbers(items, self._tensor.dtype), self._tensor.shape
        if array.ndim != len(shape) or any(want not in (-1, has) for want, has in zip(shape, array.shape)):
            raise ValueError("another shape")
        return array if self._tensor.name is None else {self._tensor.name: array}

    def frame(self, requests: Sequence[Parsed]) -> Any:
        """The array: a tensor is never a DataFrame."""
        return self.array(requests)


def _labels(signature: Signature) -> List[Any]:
    return [column.name for column in signature.columns] if signature.named else list(range(len(signature.columns)))


def _converted(column: Any, parts: List[Tuple[Any, ...]], as_arrays: bool) -> Any:
    """One column of all requests.

    Dates are read request by request, as pandas may read all by the format of the first.
    """
    import numpy as np

    if column.kind == "datetime":
        return np.concatenate([columns.convert(column, list(part), as_arrays) for part in parts])
    return columns.convert(column, list(chain.from_iterable(parts)), as_arrays)
