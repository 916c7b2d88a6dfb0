"""Model signatures that the worker's tests share, by what is special in them."""

import numpy as np
from mlflow.models import ModelSignature
from mlflow.types.schema import (
    AnyType,
    Array,
    ColSpec,
    Map,
    Object,
    ParamSchema,
    ParamSpec,
    Property,
    Schema,
    TensorSpec,
)

MIXED = ModelSignature(
    Schema(
        [
            ColSpec("double", "a"),
            ColSpec("string", "b", required=False),
            ColSpec("long", "n"),
        ]
    ),
    params=ParamSchema([ParamSpec("boom", "boolean", False), ParamSpec("scale", "double", 1.0)]),
)
EVERY_KIND = ModelSignature(
    Schema(
        [
            ColSpec("boolean", "flag"),
            ColSpec("integer", "small"),
            ColSpec("long", "big"),
            ColSpec("float", "half"),
            ColSpec("double", "full"),
            ColSpec("string", "text"),
            ColSpec("binary", "blob"),
            ColSpec("datetime", "when"),
        ]
    )
)
OPTIONAL = ModelSignature(
    Schema(
        [
            ColSpec("double", "x"),
            ColSpec("double", "y", required=False),
            ColSpec("boolean", "z", required=False),
        ]
    )
)
UNNAMED = ModelSignature(Schema([ColSpec("double"), ColSpec("double")]))
SINGLE = ModelSignature(Schema([ColSpec("string", "prompt")]))
COMPOUND = ModelSignature(
    Schema(
        [
            ColSpec("long", "id"),
            ColSpec(Array("string"), "tags"),
            ColSpec(Object([Property("name", "string"), Property("size", "double", required=False)]), "item"),
            ColSpec(Map("long"), "counts", required=False),
            ColSpec(AnyType(), "extra", required=False),
        ]
    )
)
TENSOR = ModelSignature(Schema([TensorSpec(np.dtype("float64"), (-1, 3))]))
TENSOR_INT = ModelSignature(Schema([TensorSpec(np.dtype("int64"), (-1, 2))]))
TENSORS = ModelSignature(
    Schema([TensorSpec(np.dtype("float32"), (-1, 2), "x"), TensorSpec(np.dtype("int32"), (-1,), "k")])
)
IMAGE = ModelSignature(Schema([TensorSpec(np.dtype("uint8"), (-1, 2, 2), "pixels")]))
DOUBLES = ModelSignature(Schema([ColSpec("double", name) for name in ("p", "q", "r")]))
FLOATS = ModelSignature(Schema([ColSpec("float", name) for name in ("f", "a column of words")]))
LONGS = ModelSignature(Schema([ColSpec("long", name) for name in ("i", "j")]))
INTEGERS = ModelSignature(Schema([ColSpec("integer", name) for name in ("a.b", "ünï")]))
QUOTED = ModelSignature(Schema([ColSpec("double", 'a "b"')]))
DATES = ModelSignature(Schema([ColSpec("datetime", "when"), ColSpec("binary", "blob"), ColSpec("boolean", "flag")]))
FLAGS = ModelSignature(Schema([ColSpec("boolean", "only")]))
NUMBERED = ModelSignature(Schema([ColSpec("double", name) for name in (0, 1)]))
NUMBERED_ALONE = ModelSignature(Schema([ColSpec("long", 0)]))
NUMBERED_MIXED = ModelSignature(Schema([ColSpec("double", 20), ColSpec("string", 10)]))
NUMBERED_BACKWARDS = ModelSignature(Schema([ColSpec("long", 2), ColSpec("long", 1)]))
NAMES_OF_BOTH_KINDS = ModelSignature(Schema([ColSpec("double", 0), ColSpec("long", "b")]))
ANSWERED = ModelSignature(
    Schema([ColSpec("boolean", "yes", required=False), ColSpec("binary", "blob", required=False)])
)
PAIR = ModelSignature(Schema([ColSpec("string"), ColSpec("long")]))
MATRIX = ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, -1))]))
NAMED_TENSOR = ModelSignature(Schema([TensorSpec(np.dtype("int32"), (-1, 2), "t")]))
SWITCHES = ModelSignature(Schema([TensorSpec(np.dtype("bool"), (-1, 2))]))
