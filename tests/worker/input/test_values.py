"""No value changes on its way into a model: each is given in its column's type, exactly, or the request is refused.

Drawn for every type in every form, beyond the bounds of each too; what is expected is worked out without pandas and
numpy. `test_pandas.py` runs this with the other major version of pandas.
"""

import datetime as dt
import json
import math
import re
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.models import ModelSignature
from mlflow.types.schema import Array, ColSpec, Map, Object, Property, Schema, TensorSpec

from tests.draws import examples
from tests.worker.input.test_decoder import read
from tidegate_worker.ipc.refusal import Refusal


class Sent(NamedTuple):
    """A value as JSON has it, and what a model must be given for it; `None` is missing."""

    value: Any
    given: Any
    fits: bool = True


BITS = {"integer": 31, "long": 63}
LARGEST_FLOAT = struct.unpack("f", bytes.fromhex("ffff7f7f"))[0]


def of_integer(value: Any, kind: str) -> Sent:
    """A number for a column of integers."""
    whole = not isinstance(value, float) or value.is_integer()
    fits = value is not None and whole and -(1 << BITS[kind]) <= value < 1 << BITS[kind]
    return Sent(value, int(value) if fits else None, fits)


def of_float(value: Any) -> Sent:
    """A number for a column of 32 bits: rounded, and never to infinity."""
    if value is None:
        return Sent(value, value)
    if abs(Fraction(value)) >= Fraction(LARGEST_FLOAT) + 2**103:
        return Sent(value, None, fits=False)
    return Sent(value, struct.unpack("f", struct.pack("f", float(value)))[0])


def of_double(value: Any) -> Sent:
    """A number for a column of 64 bits."""
    try:
        return Sent(value, value if value is None else float(value))
    except OverflowError:
        return Sent(value, None, fits=False)


@st.composite
def dates(draw: st.DrawFn) -> Sent:
    """ISO 8601 in any of its forms, in any year that it can be written for."""
    near = st.sampled_from([dt.date(1677, 9, 21), dt.date(2262, 4, 11), dt.date(1970, 1, 1)])
    day = draw(st.dates() | near | st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)))
    text, nanoseconds, zone = day.isoformat(), (day - dt.date(1970, 1, 1)).days * 86_400 * 10**9, ""
    if draw(st.booleans()):
        time = draw(st.times().map(lambda time: time.replace(microsecond=0)))
        digits = draw(st.sampled_from(["", ".5", ".123", ".999999", ".123456789", ".854775807", ".1234567890"]))
        zone = draw(st.sampled_from(["", "Z", "+00:00", "+02:00", "-11:30"]))
        text += draw(st.sampled_from(["T", " "])) + time.isoformat() + digits + zone
        nanoseconds += (time.hour * 3600 + time.minute * 60 + time.second) * 10**9
        nanoseconds += int(digits[1:10].ljust(9, "0")) if digits else 0
    if len(zone) > 1:
        nanoseconds -= int(zone[0] + "1") * (int(zone[1:3]) * 60 + int(zone[4:])) * 60 * 10**9
    return Sent(text, nanoseconds, abs(nanoseconds) < 2**63)


NUMBERS = st.integers(-(2**65), 2**65) | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False)
EDGES = st.sampled_from(
    [2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2.0**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2.0**63,
     LARGEST_FLOAT, -LARGEST_FLOAT, 3.4028235677973362e38, 3.4028235677973366e38, 1e39, 1e308, 10**400, 0.1, -0.0, None]
)  # fmt: skip
STAMPS = st.integers(-(2**63) - 1, 2**63) | st.just(None)
VALUES: dict[str, st.SearchStrategy[Sent]] = {
    "integer": (NUMBERS | EDGES).map(lambda value: of_integer(value, "integer")),
    "long": (NUMBERS | EDGES).map(lambda value: of_integer(value, "long")),
    "float": (NUMBERS | EDGES).map(of_float),
    "double": (NUMBERS | EDGES).map(of_double),
    "boolean": st.sampled_from(
        [Sent(True, True), Sent(False, False), Sent(1, True), Sent(0.0, False), Sent(2, None, fits=False)]
    ),
    "string": st.text(st.characters(codec="utf-8"), max_size=5).map(lambda text: Sent(text, text)),
    "datetime": dates() | STAMPS.map(lambda n: Sent(n, n, n is None or abs(n) < 2**63)),
}  # fmt: skip
FORMS: dict[str, Callable[[list[Any]], Any]] = {
    "dataframe_split": lambda values: {"columns": ["v"], "data": [[value] for value in values]},
    "dataframe_records": lambda values: [{"v": value} for value in values],
    "inputs": lambda values: {"v": values},
    "instances": lambda values: [{"v": value} for value in values],
}


def cells(kind: str, payload: Any, content_type: str = "", required: bool = True) -> list[Any]:
    """What a model is given for a column of that kind; dates as nanoseconds, and None for all that is missing."""
    signature = ModelSignature(Schema([ColSpec(kind, "v", required=required)]))
    column = read(signature, payload, content_type).data["v"]
    if kind == "datetime":
        assert column.dtype == "datetime64[ns]"
        numbers = column.to_numpy().view("int64").tolist()
        return [None if missing else number for missing, number in zip(column.isna(), numbers, strict=True)]
    return [None if isinstance(value, float) and math.isnan(value) else value for value in column.tolist()]


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_is_given_exactly_or_refused(kind: str) -> None:
    @settings(max_examples=examples(400), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(VALUES[kind], min_size=1, max_size=4), st.sampled_from(sorted(FORMS)))
    def check(sent: list[Sent], form: str) -> None:
        payload = {form: FORMS[form]([each.value for each in sent])}
        bad = next((number for number, each in enumerate(sent, 1) if not each.fits), None)
        try:
            found = cells(kind, payload)
        except Refusal as refusal:
            assert bad is not None, refusal.sentence
            assert refusal.sentence.startswith(f'row {bad}, column "v": expected {kind}')
        else:
            assert bad is None
            assert found == [each.given for each in sent]

    check()


@pytest.mark.parametrize("kind", ["integer", "long", "float", "double", "datetime"])
def test_a_cell_of_csv_is_given_exactly_or_refused(kind: str) -> None:
    @settings(max_examples=examples(150), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(VALUES[kind].filter(lambda sent: isinstance(sent.value, int | str)), min_size=1, max_size=4))
    def check(sent: list[Sent]) -> None:
        if kind == "datetime":
            sent = [each for each in sent if isinstance(each.value, str)]
        text = "v\n" + "".join(f"{each.value}\n" for each in sent)
        if all(each.fits for each in sent):
            assert cells(kind, text.encode(), "text/csv") == [each.given for each in sent]
        else:
            with pytest.raises(Refusal, match=r"row \d"):
                cells(kind, text.encode(), "text/csv")

    check()


TENSORS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]


@pytest.mark.parametrize("name", TENSORS)
def test_a_value_of_a_tensor_is_given_exactly_or_refused(name: str) -> None:
    dtype = np.dtype(name)
    signature = ModelSignature(Schema([TensorSpec(dtype, (-1,))]))
    near = [int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)] if dtype.kind in "iu" else [65504, 65520, 2**128]
    edges = st.sampled_from([near_by for one in near for near_by in (one - 1, one, one + 1, float(one))])

    @settings(max_examples=examples(150), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(NUMBERS | edges, min_size=1, max_size=3))
    def check(values: list[Any]) -> None:
        try:
            found = read(signature, {"inputs": values}).data
        except Refusal:
            assert not all(fits_tensor(value, dtype) for value in values)
            return
        assert found.dtype == dtype
        if dtype.kind in "iu":
            assert found.tolist() == values
        else:
            assert np.isfinite(found).all()
            assert found.tolist() == [np.array([float(value)]).astype(dtype)[0] for value in values]

    check()


def fits_tensor(value: Any, dtype: Any) -> bool:
    """Whether a type of numpy has the number, or a neighbour that is none too far."""
    if dtype.kind in "iu":
        whole = not isinstance(value, float) or value.is_integer()
        return whole and int(np.iinfo(dtype).min) <= value <= int(np.iinfo(dtype).max)
    largest = Fraction(float(np.finfo(dtype).max))
    return abs(Fraction(value)) < largest * (1 + Fraction(float(np.finfo(dtype).eps)) / 4)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("datetime64[ns]", ["9999-12-31"]),
        ("datetime64[ns]", ["0001-01-01"]),
        ("datetime64[ns]", [-(2**63)]),
        ("datetime64[D]", ["2024-01-01T12:00"]),
        ("str", ["a", None]),
        ("str", ["a\0"]),
        ("float32", ["1e39"]),
        ("uint8", [1.0, "300"]),
        ("bool", ["false"]),
    ],
)
def test_a_tensor_does_not_take_what_it_would_change(dtype: str, values: list[Any]) -> None:
    with pytest.raises(Refusal, match=rf"row {len(values)}: expected"):
        read(ModelSignature(Schema([TensorSpec(np.dtype(dtype), (-1,))])), {"inputs": values})


# --- what is missing ---

OPTIONAL = {
    "boolean": True, "double": 1.5, "float": 1.5, "string": "x", "binary": "aGk=", "datetime": "2024-01-01",
}  # fmt: skip
COMPOUND = {
    "array": (Array("string"), ["a"]),
    "object": (Object([Property("p", "string")]), {"p": "a"}),
    "map": (Map("string"), {"k": "a"}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", OPTIONAL)
@pytest.mark.parametrize("absent", [False, True], ids=["null", "absent"])
def test_what_is_missing_stays_missing(kind: str, form: str, absent: bool) -> None:
    payload = {form: FORMS[form]([OPTIONAL[kind], None])}
    if absent and isinstance(payload[form], list):
        payload[form] = [{"v": OPTIONAL[kind], "w": 1}, {"w": 1}]
    found = cells(kind, payload, required=False)
    assert found[0] is not None
    assert found[1] is None or found[1] != found[1]


@pytest.mark.parametrize("kind", COMPOUND)
def test_lists_and_objects_may_be_missing(kind: str) -> None:
    type_, value = COMPOUND[kind]
    signature = ModelSignature(Schema([ColSpec("long", "n"), ColSpec(type_, "v", required=False)]))
    rows = [{"n": 1, "v": value}, {"n": 2}, {"n": 3, "v": None}]
    found = read(signature, {"dataframe_records": rows}).data["v"].tolist()
    assert found == [value, None, None]


@pytest.mark.parametrize("kind", ["integer", "long"])
def test_integers_have_no_missing_ones(kind: str) -> None:
    with pytest.raises(Refusal, match="found null"):
        cells(kind, {"dataframe_records": [{"v": 1}, {"v": None}]}, required=False)


@pytest.mark.parametrize("kind", ["boolean", "binary"])
def test_what_is_required_is_not_missing(kind: str) -> None:
    with pytest.raises(Refusal, match=f'row 2, column "v": expected {kind}, found null'):
        cells(kind, {"dataframe_records": [{"v": OPTIONAL[kind]}, {"v": None}]})


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Array("boolean"), [True, None]),
        (Array("boolean"), [True, "false"]),
        (Array("string"), ["a", None]),
        (Array(Array("string")), [["a"], ["b", None]]),
        (Object([Property("p", Array("boolean"))]), {"p": [True, 2]}),
        (Map(Array("string")), {"k": ["a", []]}),
    ],
)
def test_within_lists_nothing_is_made_of_what_is_missing(type_: Any, value: Any) -> None:
    signature = ModelSignature(Schema([ColSpec(type_, "v"), ColSpec("long", "n")]))
    with pytest.raises(Refusal, match=re.escape('row 1, column "v": expected ')):
        read(signature, {"dataframe_records": [{"v": value, "n": 1}]})


# --- dates ---


def test_forms_of_iso_may_be_mixed() -> None:
    texts = [
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01 00:00:00.000",
        "2024-01-01T00:00:00Z",
        None,
        "2024-01-01T02:00:00+02:00",
        "2024-01-01T00:00:00",
        "20231231T220000-0200",
        "2024-01-01T00:00:00,000000000",
    ]
    start = 1_704_067_200 * 10**9
    assert cells("datetime", {"inputs": {"v": texts}}) == [None if text is None else start for text in texts]


@pytest.mark.parametrize("bad", ["2024-02-30", "soon", "01/02/2024", "2024-01-01T12:00:00EST", 1.5, True, [], {}])
def test_a_bad_date_among_others_names_its_row(bad: Any) -> None:
    values = ["2024-01-01", "2024-01-01T12:00:00Z", bad, "2024-01-01", bad]
    with pytest.raises(Refusal, match='row 3, column "v": expected datetime'):
        cells("datetime", {"inputs": {"v": values}})


@pytest.mark.filterwarnings("ignore:Parsing dates")
def test_other_dates_are_read_in_one_format_as_mlflow_does() -> None:
    found = cells("datetime", {"dataframe_split": {"columns": ["v"], "data": [["13/02/2024"], ["01/02/2024"]]}})
    assert found == [pd.Timestamp(text).value for text in ("2024-02-13", "2024-02-01")]


@pytest.mark.filterwarnings("ignore:'epoch' date format")
def test_milliseconds_of_to_json_are_nanoseconds_as_mlflow_reads_them() -> None:
    frame = pd.DataFrame({"v": [pd.Timestamp("2024-01-01")]})
    [milliseconds] = json.loads(frame.to_json(date_format="epoch", date_unit="ms", orient="split"))["data"][0]
    assert cells("datetime", {"inputs": {"v": [milliseconds]}}) == [milliseconds]
    cured = json.loads(frame.to_json(date_format="iso", orient="split"))
    assert cells("datetime", {"dataframe_split": cured}) == [pd.Timestamp("2024-01-01").value]


# --- base64 ---

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def decoded(text: str) -> bytes | None:
    """RFC 4648 by its letter, in either alphabet; None for what is not base64."""
    text = text.replace("\n", "").replace("\r", "")
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            return None
        text = text.replace("-", "+").replace("_", "/")
    body = text.rstrip("=")
    if len(text) % 4 or len(text) - len(body) > 2 or any(letter not in ALPHABET for letter in body):
        return None
    bits = "".join(f"{ALPHABET.index(letter):06b}" for letter in body)
    whole = len(bits) // 8 * 8
    return None if "1" in bits[whole:] else bytes(int(bits[at : at + 8], 2) for at in range(0, whole, 8))


@settings(max_examples=examples(600), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=8), st.integers(0, 12), st.text("AQg_-+/= \n%é", max_size=2), st.booleans(), st.booleans())
def test_base64_is_decoded_exactly_or_refused(data: bytes, at: int, more: str, for_urls: bool, bare: bool) -> None:
    import base64

    text = (base64.urlsafe_b64encode if for_urls else base64.b64encode)(data).decode()
    text = text[:at] + more + text[at:]
    text = text.rstrip("=") if bare else text
    payload = {"dataframe_split": {"columns": ["v"], "data": [[text]]}}
    if decoded(text) is None:
        with pytest.raises(Refusal, match="expected binary"):
            cells("binary", payload)
    else:
        assert cells("binary", payload) == [decoded(text)]


# --- numbers in the text itself ---


@pytest.mark.parametrize("number", ["1e999", "-1e400", "1.5E+0309", "9" * 400 + ".0", "9" * 400])
def test_a_number_too_large_for_json_is_refused(number: str) -> None:
    for form in ('{"inputs": {"v": [%s]}}', '{"inputs": {"v": [NaN, %s]}}', '{"inputs": {"v": ["%s"]}}'):
        with pytest.raises(Refusal):
            cells("double", (form % number).encode())


def test_infinity_is_read_where_it_is_said() -> None:
    assert cells("double", b'{"inputs": {"v": [Infinity, -Infinity, "inf", "1e300"]}}') == [
        math.inf, -math.inf, math.inf, 1e300,
    ]  # fmt: skip
    assert cells("float", b'{"inputs": {"v": [Infinity]}}') == [math.inf]
