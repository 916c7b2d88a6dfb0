"""Bodies that are too long, and lists in them that are."""

from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from tests.api.conftest import Api
from tidegate.api.body_limit import MAX_BODY_BYTES, read_bounded
from tidegate.core.errors import PayloadTooLarge

URL = "/api/2.0/serving-endpoints"
CLASSIC = "/api/2.0/mlflow/endpoints"
PART = 64 * 1024


class Upload:
    """A client that sends parts for as long as it is asked."""

    def __init__(self) -> None:
        self.parts = 0

    async def receive(self) -> Message:
        self.parts += 1
        return {"type": "http.request", "body": b"x" * PART, "more_body": True}


async def test_no_more_is_read_than_may_be_kept() -> None:
    upload = Upload()
    with pytest.raises(PayloadTooLarge, match=r"longer than 1048576 bytes\. Send less"):
        await read_bounded({"type": "http", "headers": []}, upload.receive)
    assert upload.parts == MAX_BODY_BYTES // PART + 1


async def test_an_announced_length_is_refused_before_anything_is_read() -> None:
    upload = Upload()
    scope = {"type": "http", "headers": [(b"content-length", str(MAX_BODY_BYTES + 1).encode())]}
    with pytest.raises(PayloadTooLarge):
        await read_bounded(scope, upload.receive)
    assert upload.parts == 0


async def parts_of(count: int) -> AsyncIterator[bytes]:
    """A body without a Content-Length."""
    for _ in range(count):
        yield b" " * PART


@pytest.mark.parametrize("path", [URL, f"{CLASSIC}/enable", f"{URL}/wine/served-models/wine/logs"])
@pytest.mark.parametrize("streamed", [False, True], ids=["announced", "streamed"])
async def test_a_body_over_the_limit_is_a_413_and_the_connection_goes_on(api: Api, path: str, streamed: bool) -> None:
    count = 2 * MAX_BODY_BYTES // PART
    content = parts_of(count) if streamed else b" " * PART * count
    answer = await api.http.request("GET" if path.endswith("logs") else "POST", path, content=content)
    assert answer.status_code == 413
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "1048576 bytes" in answer.json()["message"]
    assert (await api.http.get(URL)).json() == {"endpoints": []}


async def test_a_body_of_exactly_the_limit_is_read(api: Api) -> None:
    answer = await api.http.post(URL, content=parts_of(MAX_BODY_BYTES // PART))
    assert (answer.status_code, answer.json()["message"]) == (400, "The body is not valid JSON.")


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "most"),
    [
        ("POST", URL, {"name": "a", "config": {"served_entities": [0] * 20_000}}, "config.served_entities", 10),
        ("POST", URL, {"name": "a", "config": {"served_models": [0] * 20_000}}, "config.served_models", 10),
        (
            "PUT",
            f"{URL}/a/config",
            {"traffic_config": {"routes": [0] * 20_000}},
            "traffic_config.routes",
            10,
        ),
        (
            "PUT",
            f"{URL}/a/config",
            {"served_entities": [{"environment_vars": {str(n): 0 for n in range(20_000)}}]},
            "served_entities[0].environment_vars",
            50,
        ),
        ("POST", URL, {"name": "a", "tags": [0] * 20_000}, "tags", 50),
        ("POST", URL, {"name": "a", "description": "x" * 20_000}, "description", 4096),
        ("PATCH", f"{URL}/a/tags", {"add_tags": [0] * 20_000}, "add_tags", 50),
        ("PATCH", f"{URL}/a/tags", {"delete_tags": [0] * 20_000}, "delete_tags", 50),
        (
            "PUT",
            f"{CLASSIC}/update-cluster-config",
            {"registered_model_name": "wine", "desired_cluster_config": {"tags": [0] * 20_000}},
            "desired_cluster_config.tags",
            50,
        ),
    ],
)
async def test_a_list_that_is_too_long_is_refused_without_a_look_at_its_entries(
    api: Api, method: str, path: str, body: object, field: str, most: int
) -> None:
    answer = await api.http.request(method, path, json=body)
    what = "characters" if field == "description" else "entries"
    assert answer.status_code == 400
    assert answer.json()["message"] == f"{field}: it has 20000 {what}; at most {most} are allowed."


async def test_half_of_a_surrogate_pair_is_found_in_a_long_text(api: Api) -> None:
    answer = await api.http.post(URL, content=b'{"name": "' + b"x" * 900_000 + b'\\ud800"}')
    assert answer.status_code == 400
    assert "half of a surrogate pair" in answer.json()["message"]


@pytest.mark.parametrize("field", ["entity_name", "entity_version", "model_name", "model_version"])
async def test_a_name_of_any_length_is_not_sent_back(api: Api, field: str) -> None:
    entity = {"entity_name": "wine", "entity_version": "1"} | {field: "9" * 900_000}
    answer = await api.http.post(URL, json={"name": "long", "config": {"served_entities": [entity]}})
    assert answer.status_code == 400
    assert field in answer.text
    assert len(answer.text) < 1000
