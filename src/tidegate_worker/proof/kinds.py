"""Kinds of rows: what in a row can make a model look at the other rows of its batch.

A usual row has nothing of the sort. A proof covers each other kind by itself, so a row has as many kinds as it has
nulls, unseen texts, numbers out of range and params that no proof has covered.
"""

from typing import Any, NamedTuple, Sequence

from tidegate_worker.input.signature import Column, Signature

NULL, TEXT, NUMBER, PARAMS, USUAL = "null", "text", "number", "params", "usual"
# The place of a tensor's numbers. They have one range together.
TENSOR = -1

DESCRIPTIONS = {
    NULL: "null",
    TEXT: "another text than the proof had",
    NUMBER: "a number beyond those that the proof had",
}


class Kind(NamedTuple):
    """One kind of row. `at` is the index of the column; for params it is their digest."""

    what: str
    at: Any = 0


def belongs_to(signature: Signature, kind: Kind) -> bool:
    """Whether the signature can have this kind of row. Another replica may tell of one that it cannot."""
    if kind.what == PARAMS:
        return isinstance(kind.at, str)
    places = range(TENSOR if signature.tensors else 0, len(signature.columns))
    return kind.what in DESCRIPTIONS and isinstance(kind.at, int) and kind.at in places


def describe(kind: Kind, columns: Sequence[Column]) -> str:
    """The kind in words, for people."""
    return f"{DESCRIPTIONS[kind.what]} in {column_title(columns, kind.at)}" if kind.what in DESCRIPTIONS else kind.what


def column_title(columns: Sequence[Column], at: int) -> str:
    """The name of a column, or its number counted from one, for people."""
    if at == TENSOR:
        return "the tensor"
    name = columns[at].name
    return f"column {at + 1}" if name is None else f'"{name}"'
