"""Made-up requests of one row, from a model's signature and its input example, to try the model with.

Usual rows are like those of the example. Unusual rows hold what callers send and examples lack. Both are the same at
each start.
"""

import base64
import datetime as dt
import itertools
import json
import math
import random
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from tidegate_worker.input.signature import NULLABLE, Column, Signature, Tensor
from tidegate_worker.output import encoder

# How far made-up numbers are from those of the example, relative to them: the nearest first.
_SPREADS = (0.1, 0.5, 1.0, 4.0)
_NUMBERS = ("double", "float", "long", "integer")
_LIMITS = {"long": 2**53, "integer": 2**31 - 1}
_DEFAULTS: Dict[str, List[Any]] = {
    "boolean": [False, True],
    "integer": [0, 1, 2, 5, 10, -3],
    "long": [0, 1, 2, 5, 10, -3],
    "float": [0.0, 0.5, 1.0, 3.0, 10.0, -2.0],
    "double": [0.0, 0.5, 1.0, 3.0, 10.0, -2.0],
    "string": ["a", "b", "two words", "Something longer, with a comma."],
    "binary": ["", "AA==", "aGVsbG8="],
    "datetime": ["1970-01-01T00:00:00", "2024-02-29T12:30:00"],
}


def usual(signature: Signature, example: Any) -> Iterator[Dict[str, Any]]:
    """Documents of one row each: the example's rows first, then 10,000 rows like them."""
    source = random.Random(0)  # noqa: S311 - not for secrets
    if signature.tensors:
        yield from _usual_tensors(signature.tensors[0], example, source)
        return
    rows = _example_rows(signature, example)
    names = {"columns": [column.name for column in signature.columns]} if signature.named else {}
    for row in itertools.chain(rows, _made_up_rows(signature.columns, rows, source)):
        yield {"dataframe_split": {**names, "data": [row]}}


# In how many columns a null is the only one of its row; how many rows have unseen texts, and numbers far apart.
_SINGLE_NULLS, _UNSEEN_ROWS, _WIDE_ROWS = 4, 5, 3
# Numbers that often stand for a missing one; in how many columns a pair of rows agrees that differs in all others.
_SENTINELS, _MAX_PAIRS = (-1, 9999, -999), 4
NUMBERS, TEXTS, NULLS = "numbers", "texts", "nulls"


def unusual(signature: Signature, example: Any) -> Iterator[Tuple[str, List[Dict[str, Any]]]]:
    """Documents of one row each, by their kind: zeros and both signs, unseen texts and far dates, nulls.

    A row with a null comes with one that is the same without it: code that fills in a null may look for similar rows.
    There are none for tensors.
    """
    if signature.columns:
        source = random.Random(3)  # noqa: S311 - not for secrets
        rows = _example_rows(signature, example)
        bases = [*rows[:4], *itertools.islice(_made_up_rows(signature.columns, rows, source), 16)]
        names = {"columns": [column.name for column in signature.columns]} if signature.named else {}
        for at in _sampled(source, [at for at, column in enumerate(signature.columns) if column.kind in _NUMBERS]):
            first, second = source.choice(bases), source.choice(bases)
            pair = [first, [first[at] if place == at else value for place, value in enumerate(second)]]
            yield NUMBERS, [{"dataframe_split": {**names, "data": [each]}} for each in pair]
        for kind, changes in _changes(signature.columns, source):
            base = source.choice(bases)
            row = [changes[at](value) if at in changes else value for at, value in enumerate(base)]
            group = [row, base] if kind == NULLS else [row]
            yield kind, [{"dataframe_split": {**names, "data": [each]}} for each in group]


Change = Callable[[Any], Any]


def _changes(columns: Sequence[Column], source: random.Random) -> Iterator[Tuple[str, Dict[int, Change]]]:
    """The changes that make a usual row an unusual one, by column."""
    nullable = [at for at, column in enumerate(columns) if column.kind in NULLABLE]
    texts = {at: _UNSEEN[column.kind] for at, column in enumerate(columns) if column.kind in _UNSEEN}
    numbers = [at for at, column in enumerate(columns) if column.kind in _NUMBERS]
    if numbers:
        yield NUMBERS, dict.fromkeys(numbers, lambda _: 0)
        yield NUMBERS, dict.fromkeys(numbers, lambda value: -value if isinstance(value, (int, float)) else value)
    for sentinel in _SENTINELS if numbers else ():
        yield NUMBERS, dict.fromkeys(numbers, lambda _, sentinel=sentinel: sentinel)  # type: ignore[misc]
    for _ in range(_WIDE_ROWS if numbers else 0):
        yield NUMBERS, dict.fromkeys(numbers, lambda _: source.randint(-100, 100))
    for _ in range(_UNSEEN_ROWS if texts else 0):
        yield TEXTS, {at: lambda _, unseen=unseen: unseen(source) for at, unseen in texts.items()}  # type: ignore[misc]
    if nullable:
        yield NULLS, dict.fromkeys(nullable, _null)
        yield NULLS, dict.fromkeys([at for at in nullable if source.random() < 0.5], _null)
    for at in source.sample(nullable, min(len(nullable), _SINGLE_NULLS)):
        yield NULLS, {at: _null}


def _sampled(source: random.Random, places: List[int]) -> List[int]:
    return source.sample(places, min(len(places), _MAX_PAIRS))


def _null(_: Any) -> None:
    return None


def _word(source: random.Random) -> str:
    return "".join(source.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(source.randint(3, 9)))


_UNSEEN: Dict[str, Callable[[random.Random], str]] = {
    "string": _word,
    "binary": lambda source: base64.b64encode(_word(source).encode()).decode(),
    "datetime": lambda source: _moved_date("2001-02-03T04:05:06", source.uniform(-9000, 9000)),
}


_SAMPLES: Dict[str, Any] = {
    "boolean": False,
    "integer": 0,
    "long": 0,
    "float": 0.0,
    "double": 0.0,
    "string": "",
    "binary": "",
    "datetime": "1970-01-01",
}


def sample_body(signature: Signature) -> Optional[Dict[str, Any]]:
    """A request of one row with default values that fits the signature; None without a signature."""
    if signature.tensors:
        samples = {tensor.name: _sample_tensor(tensor) for tensor in signature.tensors}
        return {"inputs": samples if signature.named else next(iter(samples.values()))}
    row = [_sample(column.type) for column in signature.columns]
    if not row:
        return None
    if signature.from_type_hint:
        return {"inputs": row}
    names = {"columns": [column.name for column in signature.columns]} if signature.named else {}
    return {"dataframe_split": {**names, "data": [row]}}


def _sample(kind: Any) -> Any:
    """A value of one of MLflow's types; attributes tell Array, Object and Map apart in every version that has them."""
    if hasattr(kind, "to_numpy"):
        return _SAMPLES.get(kind.name)
    if hasattr(kind, "properties"):
        return {item.name: _sample(item.dtype) for item in kind.properties}
    if hasattr(kind, "value_type"):
        return {"key": _sample(kind.value_type)}
    return [_sample(kind.dtype)] if hasattr(kind, "dtype") else None


def _sample_tensor(tensor: Tensor) -> Any:
    sample: Any = "" if tensor.dtype.kind in "OSU" else "1970-01-01" if tensor.dtype.kind == "M" else 0
    for length in reversed(tensor.shape):
        sample = [sample] * (1 if length == -1 else length)
    return sample


# --- rows like those of an example ---


def _example_rows(signature: Signature, example: Any, most: int = 12) -> List[List[Any]]:
    """The first distinct rows of an example, with columns in the signature's order; empty if it is no DataFrame."""
    labels = [column.name for column in signature.columns] if signature.named else None
    if not hasattr(example, "iloc") or not hasattr(example, "columns"):
        return []
    if labels is None:
        labels = list(example.columns)[: len(signature.columns)]
    if any(label not in example.columns for label in labels):
        return []
    records = encoder.plain(example[labels].iloc[: 4 * most].to_numpy(dtype=object))
    distinct = {json.dumps(row): row for row in records}
    return list(distinct.values())[:most]


def _made_up_rows(columns: Sequence[Column], rows: List[List[Any]], source: random.Random) -> Iterator[List[Any]]:
    """Rows like those of an example, ever again from the nearest to the farthest."""
    seen = [[row[at] for row in rows if row[at] is not None] for at in range(len(columns))]
    for turn in range(10_000):
        spread = _SPREADS[turn // 4 % len(_SPREADS)]
        yield [_made_up_value(column.kind, values, spread, source) for column, values in zip(columns, seen)]


def _made_up_value(kind: str, seen: List[Any], spread: float, source: random.Random) -> Any:
    """A value like those of the example, or like the defaults of the kind."""
    value = source.choice(seen or _DEFAULTS.get(kind, [None]))
    if kind in _NUMBERS and isinstance(value, (int, float)):
        return _made_up_number(kind, value, seen, spread, source)
    if kind == "boolean":
        return source.random() < 0.5
    if kind == "datetime" and seen:
        return _moved_date(value, source.uniform(-400, 400) * spread)
    return value


def _made_up_number(kind: str, value: float, seen: List[Any], spread: float, source: random.Random) -> Any:
    """A number near the value: nearer for a small spread, a small range in the example and a small value."""
    seen_range = max(seen) - min(seen) if seen else 0.0
    width = max(seen_range, abs(value) * 0.5, 1e-3) if seen_range else max(abs(value), 1.0)
    moved = value + source.uniform(-1, 1) * spread * width
    if kind in _LIMITS:
        return max(-_LIMITS[kind], min(_LIMITS[kind], round(moved)))
    return moved if math.isfinite(moved) else value


def _moved_date(text: str, days: float) -> str:
    try:
        return (dt.datetime.fromisoformat(text) + dt.timedelta(days=round(days))).isoformat()
    except (ValueError, OverflowError):
        return text


def _usual_tensors(tensor: Tensor, example: Any, source: random.Random) -> Iterator[Dict[str, Any]]:
    """Documents of one item along the first dimension: those of the example first."""
    if isinstance(example, dict):
        example = example.get(tensor.name)
    items = list(example[:12]) if hasattr(example, "ndim") and example.ndim == len(tensor.shape) else []
    for item in items:
        yield {"inputs": [encoder.plain(item)]}
    template = encoder.plain(items[0]) if items else _sample_tensor(tensor)[0]
    for turn in range(10_000):
        yield {"inputs": [_perturbed(template, tensor.dtype.kind, _SPREADS[turn // 4 % len(_SPREADS)], source)]}


def _perturbed(item: Any, kind: str, spread: float, source: random.Random) -> Any:
    if isinstance(item, list):
        return [_perturbed(part, kind, spread, source) for part in item]
    if kind == "b":
        return source.random() < 0.5
    if not isinstance(item, (int, float)):
        return item
    moved = item + source.uniform(-1, 1) * spread * max(abs(item), 1.0)
    return moved if kind == "f" else abs(round(moved)) if kind == "u" else round(moved)
