"""What came by an older product's URL: MLflow 1.x's forms are read as the newer ones, and only there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker import replica, signatures, warm, zoo
from tests.worker.echo import echo_model
from tests.worker.queues import House, animal
from tidegate_worker.input import mlflow1
from tidegate_worker.ipc import wire
from tidegate_worker.model.accelerators import fast_json
from tidegate_worker.output import encoder

JSON = "application/json"
RECORDS, SPLIT = f"{JSON}; format=pandas-records", f"{JSON};format=pandas-split;charset=utf-8"
TABLE = {"columns": ["a", "b", "n"], "data": [[1.5, "x", 2], [2.5, None, 3]]}
ROWS = [{"a": 1.5, "b": "x", "n": 2}, {"n": 3, "a": 2.5}]


def old(body: Any, content_type: str | None = JSON, product: str = "classic") -> wire.Request:
    """A request as the gateway sends it from an older product's URL."""
    meta = [("surface", product), ("request-id", "r")]
    meta += [] if content_type is None else [("content-type", content_type)]
    meta += [("traceparent", "00-ab")]
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return wire.Request(1, 30_000, 0, wire.pack_meta(meta), body)


def modern(request: wire.Request) -> mlflow1.Modern:
    """What becomes of it; the same with the standard library's JSON."""
    found = mlflow1.modernised(request, fast_json().decode)
    assert found == mlflow1.modernised(request)
    return found


def new(body: Any, content_type: str = JSON) -> wire.Request:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return wire.Request(1, 30_000, 0, wire.pack_meta([("content-type", content_type)]), body)


OLD_FORMS: list[tuple[Any, str | None, Any]] = [
    (TABLE, JSON, {"dataframe_split": TABLE}),
    (TABLE, None, {"dataframe_split": TABLE}),
    (TABLE, SPLIT, {"dataframe_split": TABLE}),
    (TABLE, f'{JSON}; Format="pandas-split"', {"dataframe_split": TABLE}),
    ({**TABLE, "index": [7, 8]}, JSON, {"dataframe_split": {**TABLE, "index": [7, 8]}}),
    ({"data": TABLE["data"], "index": ["inputs", "instances"], "columns": TABLE["columns"]}, JSON, None),
    (ROWS, JSON, {"dataframe_records": ROWS}),
    (ROWS, RECORDS, {"dataframe_records": ROWS}),
    (ROWS, None, {"dataframe_records": ROWS}),
    (f"\n  {json.dumps(ROWS)}\n".encode(), RECORDS, {"dataframe_records": ROWS}),
    (json.dumps(TABLE).encode("utf-16"), JSON, {"dataframe_split": TABLE}),
    (json.dumps(TABLE).encode("utf-8-sig"), JSON, {"dataframe_split": TABLE}),
    (b'{"columns":["a","n"],"data":[[NaN,2],[-Infinity,3]]}', JSON, {"dataframe_records": None}),
]


@pytest.mark.parametrize(("body", "content_type", "same_as"), OLD_FORMS)
def test_an_old_form_is_read_as_the_new_one(body: Any, content_type: str | None, same_as: Any) -> None:
    request, bare = modern(old(body, content_type))
    assert bare
    meta = wire.unpack_meta(request.meta)
    assert (meta["request-id"], meta["traceparent"], "surface" in meta) == ("r", "00-ab", False)
    model = echo_model(signatures.MIXED)
    answer = model.answer(request)
    assert answer.outcome == wire.OK, answer.body
    if same_as == {"dataframe_records": None}:
        cells = json.loads(answer.body)["predictions"]["data"]["cells"]
        assert (cells["a"], cells["n"]) == (["nan", "-inf"], ["2", "3"])
    else:
        expected = {"dataframe_split": body} if same_as is None else same_as
        assert answer.body == model.answer(new(expected)).body


NEW_FORMS: list[tuple[Any, str | None]] = [
    ({"dataframe_split": TABLE}, JSON),
    ({"dataframe_records": ROWS}, None),
    ({"instances": ROWS}, JSON),
    ({"inputs": {"a": [1], "n": [2]}}, JSON),
    ({"inputs": {"a": [1], "n": [2]}, "data": 7, "columns": []}, JSON),
    ({"dataframe_split": TABLE, "params": {"scale": 2}}, f"{JSON};charset=utf-8"),
    (b"a,b,n\n1.5,x,2\n", "text/csv"),
    ({"colour": 1}, JSON),
    ({}, JSON),
    (5, JSON),
    (b"", JSON),
    (b"[1", JSON),
    (b'[1],"dataframe_split":{}', JSON),
    (b'{"data": [1}', JSON),
    (b"[" * 100_000, JSON),
    (TABLE, "text/xml"),
    (TABLE, f"{JSON}; format=pandas-other"),
    (TABLE, f"{JSON}; charset=latin-1"),
]


@pytest.mark.parametrize(("body", "content_type"), NEW_FORMS)
def test_everything_else_is_left_as_it_came(body: Any, content_type: str | None) -> None:
    given = old(body, content_type)
    request, bare = modern(given)
    assert not bare
    assert request == given._replace(meta=given.meta.partition(b"\n")[2])


def test_a_format_is_enough_for_the_old_answer_and_does_not_hide_the_charset() -> None:
    request, bare = modern(old({"dataframe_split": TABLE}, SPLIT))
    assert bare
    assert wire.unpack_meta(request.meta)["content-type"] == "application/json;charset=utf-8"
    answer = echo_model(None).answer(modern(old(TABLE, f"{JSON};format=pandas-split;charset=latin-1")).request)
    assert answer.outcome == wire.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize("body", [TABLE, ROWS])
def test_the_serverless_product_always_wraps_its_answers(body: Any) -> None:
    assert modern(old(body, SPLIT, "serverless")).bare is False
    assert modern(old(body, JSON, "serverless")).request == modern(old(body, JSON)).request


@pytest.mark.parametrize("value", [[1.5, 2], {"a": [None]}, "text", None, []])
def test_the_bare_answer_is_what_stands_under_predictions(value: Any) -> None:
    for body in (encoder.dumps({"predictions": value}), fast_json().encode({"predictions": value})):
        answer = wire.Answer(1, wire.OK, 0, b"batch=1", body)
        assert json.loads(mlflow1.unwrapped(answer).body) == value
        assert mlflow1.unwrapped(answer)[:4] == answer[:4]


def test_a_refusal_stays_as_it_is() -> None:
    answer = wire.Answer(1, wire.BAD_REQUEST, 0, b"", b'{"predictions":}')
    assert mlflow1.unwrapped(answer) is answer


def test_old_forms_are_batched_with_new_ones() -> None:
    house = House(animal(zoo.ROW_WISE["linear"])).warm()
    rows = [{"x": float(n), "n": n, "s": "a"} for n in range(8)]
    bodies: list[Any] = [[rows[0]], {"columns": ["x", "n", "s"], "data": [[1.0, 1, "a"]]}]
    requests = [modern(old(body)).request._replace(id=number) for number, body in enumerate(bodies)]
    requests += [new({"dataframe_records": [row]})._replace(id=number) for number, row in enumerate(rows) if number > 1]
    answers = {answer.id: json.loads(answer.body) for answer in house.answers(requests)}
    assert max(house.sizes) > 2
    for number, row in enumerate(rows):
        alone = house.model.answer(new({"dataframe_records": [row]}))
        assert answers[number] == json.loads(alone.body)


# --- over a replica's socket


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[replica.Gateway]:
    """A gateway's end of a connection to a replica of its own."""
    model = replica.probe_model(tmp_path_factory.mktemp("model") / "m", example="say:hello")
    running = warm.start(model, tmp_path_factory.mktemp("replica"))
    assert running.told()["state"] == "ready"
    gateway = replica.Gateway(running.socket)
    gateway.hello()
    yield gateway
    gateway.close()
    running.end()


def test_who_came_by_an_older_url_is_answered_as_there(gateway: replica.Gateway, tmp_path: Path) -> None:
    table = {"columns": ["command"], "data": [["say:hi"]]}
    requests = [
        old(table),
        old(table, product="serverless"),
        old({"dataframe_split": table}),
        old({"dataframe_split": table}, SPLIT),
        old(table, "application/xml"),
        new(table),
        new(table, SPLIT),
        new({"dataframe_split": table}),
    ]
    gateway.socket.sendall(wire.pack_requests(each._replace(id=number) for number, each in enumerate(requests)))
    answers: dict[int, wire.Answer] = {}
    while len(answers) < len(requests):
        frame = wire.unpack_answers(memoryview(gateway.expect(wire.ANSWERS)))
        answers.update({answer.id: answer for answer in frame})
    said = [answers[number].body if answers[number].outcome == wire.OK else None for number in range(len(requests))]
    whole, bare = b'{"predictions":["say:hi"]}', b'["say:hi"]'
    assert said == [bare, whole, whole, bare, None, None, None, whole]
    outcomes = [answers[number].outcome for number in (4, 5, 6)]
    assert outcomes == [wire.UNSUPPORTED_MEDIA_TYPE, wire.BAD_REQUEST, wire.UNSUPPORTED_MEDIA_TYPE]
