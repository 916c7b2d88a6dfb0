"""What bad input gets: the issue's table, line by line, against a real model behind a real endpoint."""

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Registered, register
from tests.e2e.running_platform import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SECRET = "s3cret-value-of-the-caller"


@pytest.fixture(scope="module")
def moody(house: Platform) -> str:
    register(house, "moody", "moody")
    house.launch("moody", "moody", timeout_seconds=5)
    return "moody"


def post(house: Platform, endpoint: str, content: bytes | str, **headers: str) -> httpx.Response:
    sent = {"content-type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
    with house.client() as client:
        return client.post(f"/serving-endpoints/{endpoint}/invocations", content=content, headers=sent)


def refused(answer: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert set(body) == {"error_code", "message"}
    assert "Traceback" not in body["message"]
    assert SECRET not in answer.text
    for word in words:
        assert word in body["message"], body["message"]
    return body


COLUMNS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]


def records(*rows: list[Any]) -> str:
    return json.dumps({"dataframe_split": {"columns": COLUMNS, "data": rows}})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", ("empty",)),
        (f"{{{SECRET}", ("JSON",)),
        (f'"{SECRET}"', ()),
        (f'{{"rows": ["{SECRET}"]}}', ("dataframe_split",)),
        ('{"inputs": [[1,2,3,4]], "instances": [[1,2,3,4]]}', ("inputs", "instances")),
        (records([1, 2, 3, 4], [1, 2, 3]), ("row 2",)),
        (json.dumps({"dataframe_records": [{COLUMNS[0]: 1}]}), (COLUMNS[1],)),
        (records([1, 2, 3, 4], [1, SECRET, 3, 4]), ("row 2", COLUMNS[1], "double")),
        (json.dumps({"dataframe_split": {"columns": COLUMNS}}), ("data",)),
        (json.dumps({"dataframe_records": []}), ()),
    ],
)
def test_a_bad_body_is_400_and_says_where(house: Platform, iris: Registered, body: str, words: tuple[str, ...]) -> None:
    refused(post(house, "iris", body), 400, *words)


def test_forms_that_are_accepted(house: Platform, iris: Registered) -> None:
    split = iris.request["dataframe_split"]
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in split["data"]]
    expected = house.score("iris", iris.request).json()
    assert len(expected["predictions"]) == len(rows)
    lists = {column: [row[column] for row in rows] for column in COLUMNS}
    bodies = [
        {"dataframe_records": rows},
        {"dataframe_split": [split]},
        {"instances": rows},
        {"inputs": lists},
        {"inputs": rows},
        {"dataframe_split": split, "client_request_id": "a"},
    ]
    for body in bodies:
        answer = house.score("iris", body)
        assert (answer.status_code, answer.json()) == (200, expected), body
    lines = [",".join(COLUMNS), *[",".join(map(str, row)) for row in split["data"]]]
    assert post(house, "iris", "\n".join(lines), content_type="text/csv").json() == expected
    with house.client() as client:
        request = client.build_request("POST", "/serving-endpoints/iris/invocations", content=json.dumps(iris.request))
        request.headers.pop("content-type", None)
        assert client.send(request).json() == expected


MOST = 16 * 1024 * 1024


@pytest.mark.parametrize("size", [1_000_000, 8_000_000, MOST - 1, MOST])
def test_a_large_body_is_answered_row_by_row(house: Platform, iris: Registered, size: int) -> None:
    split = iris.request["dataframe_split"]
    few = house.score("iris", iris.request).json()["predictions"]
    times = (size - 1000) // (len(json.dumps(split["data"])) + 2)
    body = records(*split["data"] * times)
    answer = post(house, "iris", body + " " * (size - len(body)))
    assert answer.status_code == 200, answer.text[:500]
    assert answer.json() == {"predictions": few * times}
    print(f"FIGURE a body of {size:,} bytes, {times * len(few):,} rows: 200, every row right")


@pytest.mark.parametrize("form", ["declared", "chunked"])
def test_a_body_over_the_limit_is_refused_while_it_is_read(house: Platform, iris: Registered, form: str) -> None:
    with caller(house) as (connection, head):
        if form == "declared":
            connection.sendall(head + b"content-length: %d\r\n\r\n" % (MOST + 1))  # and not a byte of the body
        else:
            connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
            for _ in range(16):
                connection.sendall(b"100000\r\n" + b" " * (MOST // 16) + b"\r\n")
            connection.sendall(b"1\r\n \r\n")  # and no end
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 "), answer
    assert json.loads(body)["error_code"] == "INVALID_PARAMETER_VALUE"
    print(f"FIGURE a body of {MOST + 1:,} bytes, {form}: 413 before its end was sent")
    assert house.score("iris", iris.request).status_code == 200


@contextlib.contextmanager
def caller(house: Platform) -> Iterator[tuple[socket.socket, bytes]]:
    """A connection, and the head of a request to `iris` on it but for its last lines."""
    url = httpx.URL(house.url)
    with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
        path = "POST /serving-endpoints/iris/invocations HTTP/1.1"
        yield connection, f"{path}\r\nhost: {url.host}\r\nauthorization: Bearer {house.token}\r\n".encode()


def test_content_type_name_and_token(house: Platform, iris: Registered) -> None:
    body = json.dumps(iris.request).encode()
    refused(post(house, "iris", "<x/>", content_type="text/xml"), 415)
    refused(post(house, "beer", body), 404, "beer")
    for headers in ({}, {"authorization": "Bearer wrong"}):
        answer = httpx.post(f"{house.url}/serving-endpoints/iris/invocations", content=body, headers=headers)
        refused(answer, 401)
    for path in ("/api/2.0/serving-endpoints", "/mlflow/", "/metrics", "/"):
        assert httpx.get(house.url + path).status_code == 401
    for path in ("/healthz", "/readyz", "/.well-known/databricks-config"):
        assert httpx.get(house.url + path).status_code == 200


def test_a_model_that_raises(house: Platform, moody: str) -> None:
    answer = house.score(moody, {"dataframe_records": [{"mood": "raise"}]})
    refused(answer, 400, "RuntimeError", "the model is in a bad mood")
    assert "Traceback" in house.log(moody)


def test_nan_and_infinity_are_null(house: Platform, moody: str) -> None:
    answer = house.score(moody, {"dataframe_records": [{"mood": "nan"}]})
    assert answer.json() == {"predictions": [None, None, 1.5]}


def test_a_model_that_is_too_slow_is_504_and_the_next_is_answered(house: Platform, moody: str) -> None:
    answer = house.score(moody, {"dataframe_records": [{"mood": "sleep 30"}]})
    refused(answer, 504)
    assert house.score(moody, {"dataframe_records": [{"mood": "fine"}]}).json() == {"predictions": ["fine"]}
    assert "in predict" in house.log(moody)  # the stack at the deadline


def test_a_request_that_ends_the_process_gets_500_and_the_next_is_answered(house: Platform, moody: str) -> None:
    refused(house.score(moody, {"dataframe_records": [{"mood": "die"}]}), 500)
    assert house.score(moody, {"dataframe_records": [{"mood": "fine"}]}).json() == {"predictions": ["fine"]}


def test_no_secret_of_the_server_reaches_a_model(house: Platform, moody: str) -> None:
    answer = house.score(moody, {"dataframe_records": [{"mood": "environment"}]})
    seen = json.loads(answer.json()["predictions"][0])
    assert house.token not in str(seen)
    assert not [name for name in seen if name.startswith(("TIDEGATE", "DATABRICKS")) or "TOKEN" in name]


def test_create_refuses_with_the_status_of_the_reference(house: Platform, iris: Registered) -> None:
    def create(name: str, **entity: Any) -> httpx.Response:
        served = {"entity_name": "iris", "entity_version": "1"} | entity
        with house.client() as client:
            return client.post(
                "/api/2.0/serving-endpoints", json={"name": name, "config": {"served_entities": [served]}}
            )

    assert refused(create("iris"), 409, "iris")["error_code"] == "ALREADY_EXISTS"
    assert refused(create("a", entity_version="9"), 404, "9")["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    refused(create("b", entity_name="nothing"), 404, "nothing")
    refused(create("c", entity_version="@champion"), 404, "champion")
    refused(create("not a name"), 400, "name")
    refused(create("d", workload_size="Huge"), 400, "workload_size")
    with house.client() as client:
        refused(client.post("/api/2.0/serving-endpoints", content=b"{"), 400)
        refused(client.get("/api/2.0/nowhere"), 404)
        refused(client.get("/api/2.0/serving-endpoints/nowhere"), 404)
