"""The compiled path against the stock path and against MLflow's own scoring server: it may refuse, and never differ."""

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, TensorSpec

from tests.draws import examples
from tests.worker import signatures
from tests.worker.echo import echo_model
from tests.worker.input.test_differential import CASES, RAW, SIGNATURES, ask_mlflow_with, described
from tests.worker.queues import House, request
from tidegate_worker.fast.choose_path import COMPILED, STOCK
from tidegate_worker.input import decoder
from tidegate_worker.ipc import wire
from tidegate_worker.model import accelerators
from tidegate_worker.model.accelerators import Json
from tidegate_worker.output import encoder

COMPILABLE: dict[str, ModelSignature] = {
    name: getattr(signatures, name)
    for name in (
        "MIXED", "EVERY_KIND", "OPTIONAL", "UNNAMED", "SINGLE", "DOUBLES", "FLOATS", "LONGS", "INTEGERS", "DATES",
        "FLAGS", "PAIR", "TENSOR", "TENSOR_INT", "IMAGE", "QUOTED", "MATRIX", "NAMED_TENSOR", "SWITCHES",
        "NUMBERED", "NUMBERED_ALONE", "NUMBERED_MIXED", "NAMES_OF_BOTH_KINDS",
    )
}  # fmt: skip
HOUSES: dict[str, House] = {}


def house(name: str) -> House:
    """The echo with that signature; its compiled path is proved once."""
    if name not in HOUSES:
        HOUSES[name] = House(echo_model(COMPILABLE.get(name, SIGNATURES.get(name))))
    return HOUSES[name]


def both(name: str, body: bytes, content_type: str = "application/json") -> tuple[wire.Answer, bool]:
    """The answer, which must be the stock path's; and whether the compiled path gave it."""
    own = house(name)
    asked = request(1, body, content_type=content_type)
    own.put(asked)
    [waiting] = own.queue.values()
    [answer] = own.step()
    stock = own.model.answer(asked)
    assert (answer.outcome, answer.body) == (stock.outcome, stock.body), body
    return answer, waiting.parsed is not None


@pytest.mark.parametrize("name", COMPILABLE)
def test_signatures_are_compiled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = house(name).batcher.serving.path
    assert path.mode == COMPILED, path
    assert path.input == ("ndarray" if COMPILABLE[name].inputs.is_tensor_spec() else "dataframe"), path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("COMPOUND", "its signature has a column of type Array(string)"),
        ("TENSORS", "its signature has several tensors"),
        (None, "the model has no signature"),
    ],
)
def test_others_are_served_by_the_stock_path(name: str | None, reason: str) -> None:
    path = House(echo_model(getattr(signatures, name) if name else None)).batcher.serving.path
    assert (path.mode, path.reason) == (STOCK, reason)


def test_without_msgspec_the_stock_path_serves() -> None:
    slow = Json(json.loads, encoder.dumps, "off: msgspec is not installed")
    own = House(echo_model(signatures.DOUBLES, slow))
    assert own.batcher.serving.path == (STOCK, "pyfunc", "fast JSON is off: msgspec is not installed", "kept")
    [answer] = own.answers([request(1, {"inputs": {"p": [1], "q": [2], "r": [3]}})])
    assert answer.outcome == wire.OK


# --- by hand ---


@pytest.mark.parametrize(("name", "payload"), CASES)
def test_what_was_written_by_hand(name: str, payload: Any) -> None:
    both(name, json.dumps(payload).encode())


@pytest.mark.parametrize(("name", "content_type", "body"), RAW)
def test_bodies_that_were_written_by_hand(name: str, content_type: str, body: bytes) -> None:
    both(name, body, content_type)


@pytest.mark.parametrize(
    ("name", "body", "compiled"),
    [
        ("DOUBLES", b'{"dataframe_split":{"columns":["p","q","r"],"data":[[1,2.5,-0]]}}', True),
        ("DOUBLES", b'{"dataframe_split":{"columns":["p","q","r"],"data":[[1,2.5,-0.0]],"index":[0]}}', True),
        ("DOUBLES", b'{"dataframe_split":{"columns":["p","q","r"],"data":[[1,2.5,1]],"index":[7]}}', False),
        ("DOUBLES", b'{"dataframe_split":{"columns":["r","x","q","p"],"data":[[1,{"a":[]},2.5,3]]}}', True),
        ("DOUBLES", b'{"dataframe_split":{"columns":["p","q","r","r"],"data":[[1,2,3,4]]}}', False),
        ("DOUBLES", b'{"dataframe_split":[{"columns":["p","q","r"],"data":[[1,2.5,3]]}]}', False),
        ("DOUBLES", b'{"dataframe_split":{"columns":["p","q","r"],"data":[[1,2.5,null]]}}', True),
        ("DOUBLES", b'{"dataframe_split":{"columns":["p","q","r"],"data":[[1,2.5,NaN]]}}', False),
        ("DOUBLES", b'{"dataframe_split":{"columns":["p","q","r"],"data":[[1,2.5,true]]}}', False),
        ("DOUBLES", b'{"dataframe_split":{"columns":["p","q","r"],"data":[[1,2.5,1e999]]}}', False),
        ("DOUBLES", b'{"dataframe_split":{"columns":["p","q","r"],"data":[[1,2.5,' + b"9" * 400 + b"]]}}", False),
        ("DOUBLES", b'{"dataframe_split":{"columns":["p","q","r"],"data":[[1,2,12345678901234567890123]]}}', True),
        ("DOUBLES", b'{"inputs":{"p":[1],"q":[2],"r":[3]},"usage_context":{"u":"v"},"client_request_id":"7"}', True),
        ("DOUBLES", b'{"inputs":{"p":[1],"q":[2],"r":[3]},"unknown":"\\ud800"}', False),
        ("DOUBLES", b'{"inputs":{"p":[1],"q":[2],"r":[3]},"unknown":"\xff"}', False),
        ("DOUBLES", b'{"inputs":{"p":[1],"q":[2],"r":[3]},"instances":[]}', False),
        ("DOUBLES", b'{"inputs":{"p":[1],"q":[2],"r":[3]},"inputs":{"p":[4],"q":[5],"r":[6]}}', True),
        ("DOUBLES", b'{"inputs":{"p":[1],"q":[2],"r":[3]}}garbage', False),
        ("DOUBLES", b'\xef\xbb\xbf{"inputs":{"p":[1],"q":[2],"r":[3]}}', False),
        ("DOUBLES", b' \n{"inputs": [ {"p":1,"q":2,"r":3} , {"q":1,"p":2,"r":3}] } ', True),
        ("DOUBLES", b'{"inputs":[\n{"p":1,"q":2,"r":3,"s":4}]}', False),
        ("LONGS", b'{"inputs":{"i":[9007199254740993],"j":[-9223372036854775808]}}', True),
        ("LONGS", b'{"inputs":{"i":[9223372036854775808],"j":[1]}}', True),
        ("LONGS", b'{"inputs":{"i":[2.5],"j":[1]}}', False),
        ("LONGS", b'{"inputs":{"i":[2.0],"j":[1]}}', False),
        ("LONGS", b'{"inputs":{"i":[null],"j":[1]}}', False),
        ("INTEGERS", '{"inputs":{"a.b":[2147483647],"ünï":[-2147483648]}}'.encode(), True),
        ("INTEGERS", '{"inputs":{"a.b":[2147483648],"ünï":[1]}}'.encode(), True),
        ("QUOTED", b'{"inputs":{"a \\"b\\"":[1]}}', False),
        ("QUOTED", b'{"dataframe_split":{"columns":["a \\"b\\""],"data":[[1]]}}', True),
        ("FLOATS", b'{"inputs":{"f":[1.5,1e38],"a column of words":[1,2]}}', True),
        ("FLOATS", b'{"inputs":{"f":[1.5,1e39],"a column of words":[1,2]}}', True),
        ("MATRIX", b'{"instances":[[1,2.5,1e39],[4,5,6]]}', True),
        ("NUMBERED", b'{"inputs":[[1,2.5],[3,4]]}', True),
        ("NUMBERED", b'{"inputs":[[1,2.5,3]]}', False),
        ("NUMBERED", b'{"inputs":{"0":[1],"1":[2]}}', False),
        ("NUMBERED", b'{"dataframe_split":{"columns":[0,1],"data":[[1,2.5]]}}', True),
        ("NUMBERED", b'{"dataframe_split":{"columns":[1,"0",0],"data":[[1,2.5,3]]}}', True),
        ("NUMBERED", b'{"dataframe_split":{"columns":["0","1"],"data":[[1,2.5]]}}', False),
        ("NUMBERED", b'{"dataframe_split":{"columns":[0.0,1.0],"data":[[1,2.5]]}}', False),
        ("NUMBERED", b'{"dataframe_split":{"data":[[1,2.5]]}}', True),
        ("NUMBERED_ALONE", b'{"dataframe_split":{"columns":[0],"data":[[1]]}}', True),
        ("NUMBERED_ALONE", b'{"inputs":[1]}', False),
        ("NUMBERED_MIXED", b'{"dataframe_split":{"columns":[10,20],"data":[["x",2.5]]}}', True),
        ("numbered backwards", b'{"inputs":[[1,2]]}', False),
        ("NAMES_OF_BOTH_KINDS", b'{"dataframe_split":{"columns":[0,"b"],"data":[[1.5,2]]}}', True),
        ("DATES", b'{"inputs":{"when":["2024-01-01"],"blob":["raw"],"flag":[true]}}', True),
        (
            "DATES",
            b'{"inputs":{"when":["2024-01-01","2024-01-01T10:00:00Z"],"blob":["",""],"flag":[true,false]}}',
            True,
        ),
        ("DATES", b'{"inputs":{"when":["9999-12-31"],"blob":["raw"],"flag":[true]}}', True),
        ("DATES", b'{"dataframe_records":[{"when":"2024-01-01","blob":"_-8=","flag":true}]}', True),
        ("DATES", b'{"dataframe_records":[{"when":"2024-01-01","blob":"a*Gk=","flag":true}]}', True),
        ("DATES", b'{"dataframe_records":[{"when":"2024-01-01","blob":"aGk=","flag":true}]}', True),
        ("DATES", b'{"dataframe_records":[{"when":"2024-01-01","blob":"a","flag":true}]}', True),
        ("DATES", b'{"dataframe_records":[{"when":"1st","blob":"aGk=","flag":true}]}', True),
        ("FLAGS", b'{"inputs":[true,false]}', True),
        ("FLAGS", b'{"inputs":[1,0]}', False),
        ("PAIR", b'{"dataframe_split":{"data":[["a",1]]}}', True),
        ("PAIR", b'{"dataframe_split":{"columns":["x","y"],"data":[["a",1]]}}', False),
        ("IMAGE", b'{"inputs":[[[0,255],[1,2]]]}', True),
        ("IMAGE", b'{"inputs":[[[0,256],[1,2]]]}', True),
        ("MATRIX", b'{"instances":[[1,2.5,3],[4,5,6]]}', True),
        ("MATRIX", b'{"instances":[[1,2.5,3],[4,5]]}', True),
        ("NAMED_TENSOR", b'{"inputs":{"t":[[1,2]]}}', True),
        ("NAMED_TENSOR", b'{"inputs":[[1,2]]}', True),
        ("SWITCHES", b'{"inputs":[[true,false]]}', True),
    ],
)
def test_the_edges(name: str, body: bytes, compiled: bool) -> None:
    assert both(name, body)[1] is compiled


# --- generated ---

DATES = ["2024-01-01T12:00:00", "2024-01-01 12:00", "2024-01-01T12:00:00.5Z", "9999-12-31", "0001-01-01", "1st"]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["1", "2.5", "AA==", "-_8=", "NA", *DATES]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "double": st.floats(allow_nan=False) | st.integers(-(2**70), 2**70) | st.none(),
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000),
    "long": st.integers(-(2**63), 2**63 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "boolean": st.booleans(),
    "string": st.text(st.characters(codec="utf-8"), max_size=5),
    "binary": st.sampled_from(["", "AA==", "aGVsbG8="]),
    "datetime": st.sampled_from(["2024-01-01", "1999-12-31", "2024-02-29"]),
}
TENSOR_GOOD = {"f": st.floats(-1e6, 1e6), "i": st.integers(-(2**31), 2**31 - 1), "u": st.integers(0, 255)}


def cell(spec: ColSpec, wild: bool) -> st.SearchStrategy[Any]:
    good = GOOD[spec.type.name]
    return st.one_of(good, good, good, good, ANYTHING) if wild else good


def columns_payload(draw: st.DrawFn, specs: list[ColSpec], wild: bool) -> dict[str, Any]:
    rows = draw(st.lists(st.tuples(*(cell(spec, wild) for spec in specs)).map(list), min_size=1, max_size=3))
    names = [spec.name for spec in specs]
    if names[0] is None:
        return draw(st.sampled_from([{"inputs": rows}, {"instances": rows}, {"dataframe_split": {"data": rows}}]))
    order = draw(st.permutations(range(len(names))))
    names, rows = [names[at] for at in order], [[row[at] for at in order] for row in rows]
    if not all(isinstance(name, str) for name in names):
        return {"dataframe_split": {"columns": names, "data": rows}}
    records = [dict(zip(names, row, strict=True)) for row in rows]
    by_column = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    forms: list[dict[str, Any]] = [
        {"dataframe_split": {"columns": names, "data": rows}},
        {"dataframe_records": records},
        {"inputs": by_column},
        {"instances": records},
    ]
    return draw(st.sampled_from(forms))


def tensor_payload(draw: st.DrawFn, spec: TensorSpec, wild: bool) -> dict[str, Any]:
    item: st.SearchStrategy[Any] = TENSOR_GOOD.get(spec.type.kind, st.booleans())
    if wild:
        item = st.one_of(item, item, item, ANYTHING)
    for length in reversed(spec.shape[1:]):
        size = 2 if length == -1 else length
        item = st.lists(item, min_size=size, max_size=size + (draw(st.integers(0, 9)) == 0 if wild else 0))
    value: Any = draw(st.lists(item, min_size=1, max_size=3))
    named = {spec.name: value} if spec.name else value
    return {draw(st.sampled_from(["inputs", "instances"] if not spec.name else ["inputs"])): named}


@st.composite
def payloads(draw: st.DrawFn, wild: bool, names: Sequence[str] = sorted(COMPILABLE)) -> tuple[str, bytes]:
    """A signature's name and a body for it: one that fits, or, when `wild`, one that may not."""
    name = draw(st.sampled_from(names))
    specs = COMPILABLE[name].inputs.inputs
    tensors = COMPILABLE[name].inputs.is_tensor_spec()
    document = tensor_payload(draw, specs[0], wild) if tensors else columns_payload(draw, specs, wild)
    return name, json.dumps(document, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@settings(max_examples=examples(400), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(payloads(wild=True))
def test_the_stock_path_agrees_on_whatever_comes(given: tuple[str, bytes]) -> None:
    both(*given)


def test_most_of_what_fits_is_compiled() -> None:
    compiled: list[bool] = []

    @settings(max_examples=examples(200), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(payloads(wild=False))
    def read(given: tuple[str, bytes]) -> None:
        answer, by_parser = both(*given)
        assert answer.outcome == wire.OK, given
        compiled.append(by_parser)

    read()
    assert sum(compiled) > 0.8 * len(compiled)


async def test_mlflow_agrees_on_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    bodies: set[tuple[str, bytes]] = set()

    @settings(max_examples=examples(320), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(payloads(wild=False))
    def collect(given: tuple[str, bytes]) -> None:
        bodies.add(given)

    collect()
    assert len(bodies) > 0.85 * examples(320)
    for name, body in sorted(bodies):
        answer, _ = both(name, body)
        if name == "PAIR" and b"dataframe_split" not in body:
            continue  # see test_rows_of_several_types_are_read_without_names
        status, read = await ask_mlflow_with(COMPILABLE[name], "application/json", body)
        assert (status, answer.outcome) == (200, wire.OK), (name, body)
        assert described(answer.body)["data"] == read["data"], (name, body)


async def test_rows_of_several_types_are_read_without_names() -> None:
    """MLflow makes one numpy array of them, so that numbers become text and are refused."""
    body = b'{"inputs":[["a",1],["b",2]]}'
    assert (await ask_mlflow_with(signatures.PAIR, "application/json", body))[0] == 400
    assert both("PAIR", body)[0].outcome == wire.OK


# --- several requests as one ---


@pytest.mark.parametrize("name", [name for name in COMPILABLE if not COMPILABLE[name].inputs.is_tensor_spec()])
def test_joined_requests_are_the_rows_of_each(name: str) -> None:
    """A batch is what its requests are one by one, below one another."""
    import pandas as pd

    scorer = house(name).batcher.serving.scorer
    assert scorer is not None
    source, found = random.Random(name), []

    @settings(max_examples=examples(60), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(payloads(wild=False, names=[name]))
    def collect(given: tuple[str, bytes]) -> None:
        parsed = scorer.parse(b"", given[1])
        if parsed is not None:
            found.append((given[1], parsed))

    collect()
    for _ in range(10):
        some = source.sample(found, min(len(found), 5))
        some = [(body, parsed) for body, parsed in some if scorer.key(parsed) == scorer.key(some[0][1])]
        joined = scorer.layout.frame([parsed for _, parsed in some])
        each = [
            decoder.decode(body, "", scorer.model.signature, accelerators.fast_json().decode).data for body, _ in some
        ]
        pd.testing.assert_frame_equal(joined, pd.concat(each, ignore_index=True), check_index_type=False)
