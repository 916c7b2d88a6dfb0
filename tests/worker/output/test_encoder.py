"""What models return, as JSON."""

import base64
import datetime as dt
import decimal
import enum
import json
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pydantic
import pytest

from tidegate_worker.ipc import wire
from tidegate_worker.ipc.refusal import Refusal
from tidegate_worker.model.accelerators import fast_json
from tidegate_worker.output import encoder

NAN, INF = float("nan"), float("inf")
WHEN = dt.datetime(2024, 2, 29, 12, 30)  # noqa: DTZ001 - models return such


class Pair(NamedTuple):
    a: int
    b: int


class Label(str, enum.Enum):  # noqa: UP042 - its str() is not its value
    SPAM = "spam"


class Rank(enum.IntEnum):
    FIRST = 1


class Share(float, enum.Enum):
    HALF = 0.5


class Word(str):
    def __str__(self) -> str:
        return "another"


class Whole(int):
    def __int__(self) -> int:
        return 9

    __repr__ = __str__ = lambda self: "nine"


class Real(float):
    def __float__(self) -> float:
        return 9.0

    __repr__ = __str__ = lambda self: "nine"


class Dict(dict[Any, Any]):
    pass


class List(list[Any]):
    pass


class Point(pydantic.BaseModel):
    x: float
    y: list[int]


OUTPUTS: list[tuple[Any, Any]] = [
    (pd.DataFrame({"a": [1, 2], "b": [0.5, NAN]}), [{"a": 1, "b": 0.5}, {"a": 2, "b": None}]),
    (pd.DataFrame({"t": [pd.Timestamp(WHEN), pd.NaT]}), [{"t": "2024-02-29T12:30:00"}, {"t": None}]),
    (pd.DataFrame({"s": ["x", None], "o": [[1, NAN], {"k": np.int64(3)}]}),
     [{"s": "x", "o": [1, None]}, {"s": None, "o": {"k": 3}}]),
    (pd.DataFrame({0: [True], 1: ["é"]}), [{"0": True, "1": "é"}]),
    (pd.DataFrame({"i": pd.array([1, None], dtype="Int64"), "c": pd.Categorical(["u", "v"])}),
     [{"i": 1, "c": "u"}, {"i": None, "c": "v"}]),
    (pd.DataFrame({"a": []}), []),
    (pd.Series([1.5, INF], name="y"), [{"y": 1.5}, {"y": None}]),
    (pd.Series(["x"]), [{"0": "x"}]),
    (np.array([[1.5, NAN], [-INF, 2.0]]), [[1.5, None], [None, 2.0]]),
    (np.array([1, 2], dtype=np.uint8), [1, 2]),
    (np.array([0.1], dtype=np.float32), [0.10000000149011612]),
    (np.array([0.5], dtype=np.longdouble), [0.5]),
    (np.array(["x", "é"]), ["x", "é"]),
    (np.array([True]), [True]),
    (np.array([b"hi", b"\xff"], dtype=object), ["aGk=", "/w=="]),
    (np.array([b"hi"]), ["aGk="]),
    (np.array([{"a": np.float64(NAN)}, None], dtype=object), [{"a": None}, None]),
    (np.array(["2024-02-29T12:30", "NaT"], dtype="datetime64[ns]"), ["2024-02-29T12:30:00", None]),
    (np.array([["2024-02-29"]], dtype="datetime64[D]"), [["2024-02-29T00:00:00"]]),
    (np.array(7), 7),
    (np.float64(NAN), None),
    (np.int64(2**53 + 1), 2**53 + 1),
    (np.datetime64("2024-02-29"), "2024-02-29T00:00:00"),
    ([np.array([1.0]), (1, "x"), Pair(1, 2)], [[1.0], [1, "x"], [1, 2]]),
    ({"a": np.array([NAN]), np.int64(3): 1, None: 2, True: 3, 4.5: 4},
     {"a": [None], "3": 1, "null": 2, "true": 3, "4.5": 4}),
    ("text", "text"),
    ("\ud800", "\ud800"),
    (b"hi" * 60, base64.b64encode(b"hi" * 60).decode()),
    (bytearray(b"hi"), "aGk="),
    (3, 3),
    (2**70, 2**70),
    (0.1, 0.1),
    (True, True),
    (None, None),
    (NAN, None),
    (pd.NA, None),
    (pd.NaT, None),
    (pd.Timestamp("2024-02-29T12:30:00.000000001"), "2024-02-29T12:30:00.000000001"),
    (WHEN, "2024-02-29T12:30:00"),
    (dt.date(2024, 2, 29), "2024-02-29"),
    (dt.time(1, 2), "01:02:00"),
    (decimal.Decimal("1.25"), 1.25),
    (decimal.Decimal(9007199254740993), 2**53 + 1),
    (decimal.Decimal("NaN"), None),
    (Point(x=NAN, y=[1]), {"x": None, "y": [1]}),
    # of subclasses the value, never what they say of themselves
    ([Label.SPAM, Rank.FIRST, Share.HALF], ["spam", 1, 0.5]),
    ({Label.SPAM: Label.SPAM, Rank.FIRST: 1, Share.HALF: 2}, {"spam": "spam", "1": 1, "0.5": 2}),
    ([Word("x"), Whole(3), Real(2.5), Real(NAN)], ["x", 3, 2.5, None]),
    ({Word("x"): 1, Whole(3): 2, Real(2.5): 3}, {"x": 1, "3": 2, "2.5": 3}),
    (Dict(a=List([Dict(b=Label.SPAM)])), {"a": [{"b": "spam"}]}),
    ([np.str_("x\0"), np.bool_(True), np.float32(0.5), np.int8(3)], ["x\0", True, 0.5, 3]),
    ({np.str_("x"): 1, np.bool_(True): 2, np.float32(0.5): 3, np.int8(3): 4}, {"x": 1, "true": 2, "0.5": 3, "3": 4}),
    (np.array([Label.SPAM, Rank.FIRST], dtype=object), ["spam", 1]),
    (pd.DataFrame({Label.SPAM: [Label.SPAM]}, dtype=object), [{"spam": "spam"}]),
    (pd.Series([Rank.FIRST, None], name=Label.SPAM, dtype=object), [{"spam": 1}, {"spam": None}]),
    (pd.DataFrame({"c": pd.Categorical([Label.SPAM])}), [{"c": "spam"}]),
]  # fmt: skip


@pytest.mark.parametrize(("output", "expected"), OUTPUTS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("dump", [encoder.dumps, fast_json().encode], ids=["json", "msgspec"])
def test_every_output_is_valid_json(output: Any, expected: Any, dump: encoder.Encoder) -> None:
    def no_literal(literal: str) -> None:
        pytest.fail(f"{literal} is not JSON")

    body = encoder.encode(output, dump)
    assert json.loads(body, parse_constant=no_literal) == {"predictions": expected}


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ({1, 2}, "set"),
        ([object()], "object"),
        (np.array([1j]), "complex128"),
        (np.array([1], dtype="timedelta64[s]"), "timedelta64"),
        ({(1, 2): 3}, "tuple"),
        (pd.DataFrame({"a": [pd.Period("2024")]}), "Period"),
        ((item for item in [1]), "generator"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_its_type(output: Any, name: str) -> None:
    with pytest.raises(Refusal) as caught:
        encoder.encode(output)
    assert caught.value.outcome == wire.BAD_OUTPUT
    assert name in caught.value.sentence


def test_an_endless_output_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Refusal, match="nested too deep"):
        encoder.encode(endless)
