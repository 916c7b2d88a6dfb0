"""A model's signature, read once from MLflow's metadata, of whichever version of MLflow."""

from typing import Any, NamedTuple, Optional, Tuple

# Kinds of columns in which the compiled path takes null.
NULLABLE = frozenset({"double", "float", "string"})


class Column(NamedTuple):
    """A column of a table. `kind` is the name of MLflow's DataType; it is empty for Array, Object, Map and AnyType.

    `name` is text, an integer, or None.
    """

    name: Any
    kind: str
    required: bool
    type: Any

    @property
    def title(self) -> str:
        """The column's type, for people."""
        return self.kind or str(self.type)


class Tensor(NamedTuple):
    """An n-dimensional array. `dtype` is numpy's; -1 in `shape` stands for any length."""

    name: Optional[str]
    dtype: Any
    shape: Tuple[int, ...]


class Signature:
    """The input of a model: columns or tensors; neither if the model has no signature."""

    def __init__(
        self,
        columns: Tuple[Column, ...] = (),
        tensors: Tuple[Tensor, ...] = (),
        params: Tuple[Any, ...] = (),
        from_type_hint: bool = False,
    ) -> None:
        self.columns, self.tensors = columns, tensors
        self.params = params  # MLflow's ParamSpecs
        self.from_type_hint = from_type_hint  # the model's own type hints check the data, so it is passed on as it came
        names = [column.name for column in columns] + [tensor.name for tensor in tensors]
        self.named = bool(names) and names[0] is not None
        # The columns have integers as names, as in a DataFrame that was made from an array.
        self.numbered = self.named and all(isinstance(name, int) for name in names)
        self.compound = any(not column.kind for column in columns)  # some columns hold lists or objects

    def __str__(self) -> str:
        inputs = [_describe(column.name, column.title) for column in self.columns]
        inputs += [_describe(tensor.name, f"{tensor.dtype} {tensor.shape}") for tensor in self.tensors]
        text = ", ".join(inputs)
        return text if len(text) <= 500 else text[:500] + " …"

    @classmethod
    def of(cls, metadata: Any) -> "Signature":
        """The signature of an `mlflow.models.Model`; an empty one if it has none."""
        recorded = getattr(metadata, "signature", None)
        if recorded is None:
            return cls()
        inputs = list(recorded.inputs.inputs) if recorded.inputs is not None else []
        tensors = tuple(_tensor(spec) for spec in inputs if hasattr(spec, "shape"))
        columns = tuple(_column(spec) for spec in inputs if not hasattr(spec, "shape"))
        params = getattr(recorded, "params", None)  # since MLflow 2.6
        hinted = bool(getattr(recorded, "_is_signature_from_type_hint", False))  # since MLflow 2.20
        return cls(columns, tensors, tuple(params.params) if params is not None else (), hinted)


def _column(spec: Any) -> Column:
    scalar = hasattr(spec.type, "to_numpy")
    required = getattr(spec, "required", not getattr(spec, "optional", False))  # `optional` until MLflow 2.5
    return Column(spec.name, spec.type.name if scalar else "", required, spec.type)


def _tensor(spec: Any) -> Tensor:
    return Tensor(spec.name, spec.type, tuple(spec.shape))


def _describe(name: Optional[str], title: str) -> str:
    return title if name is None else f'"{name}" ({title})'
