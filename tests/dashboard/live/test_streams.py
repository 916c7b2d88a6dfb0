"""The event stream of the list of endpoints."""

import asyncio
import html
import json
from typing import Any

import pytest

from tests.control.house import TOKEN
from tests.dashboard import stories
from tests.dashboard.web_house import WebHouse
from tidegate.core.access.principal import ADMIN, PRINCIPAL_HEADER, SESSION_HEADER
from tidegate.core.errors import Unavailable
from tidegate.dashboard.live.event_stream import changed, event, stream
from tidegate.dashboard.live.ticker import Ticker
from tidegate.dashboard.site import harmless
from tidegate.http import token_hash


async def values(web: WebHouse, path: str, count: int = 1) -> list[dict[str, Any]]:
    """The first `values` of a stream."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(10), web.http.stream("GET", path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
            if len(found) == count:
                return found
    raise AssertionError("the stream ended")


async def test_the_list_is_told_its_rows_and_its_tiles(web: WebHouse) -> None:
    await web.ready("wine", "iris")
    (first,) = await values(web, "/live/endpoints?name=wine")
    assert (first["wine/state"], first["wine/replicas"], first["asleep"]) == ("ready", "1", "0")
    assert "iris/state" not in first


async def test_the_list_is_told_when_something_else_needs_attention(web: WebHouse) -> None:
    await web.ready("wine")
    address = html.unescape((await web.text("/")).split('data-stream="')[1].split('"')[0])
    await stories.held_back(web.house)
    async with asyncio.timeout(10), web.http.stream("GET", address) as answer:
        async for line in answer.aiter_lines():
            if line == "event: refresh":
                break
    part = (await web.http.get("/?part=needs", headers={"hx-request": "true"})).text
    assert part.startswith('<div class="part" id="needs"')
    assert "A new version is held back." in part
    address = html.unescape((await web.text("/")).split('data-stream="')[1].split('"')[0])
    assert [list(found) for found in await values(web, address)] != [["needs"]]


async def test_only_what_has_changed_is_sent_again(web: WebHouse) -> None:
    await web.ready("wine")
    web.series.rates["wine"] = 0.0

    async def busy() -> None:
        while True:
            await asyncio.sleep(0.1)
            web.series.rates["wine"] += 300.0

    task = asyncio.create_task(busy())
    seen = await values(web, "/live/endpoints?name=wine", 2)
    task.cancel()
    assert "wine/state" in seen[0]
    assert {"wine/rate", "rate"} <= seen[1].keys()
    assert "wine/state" not in seen[1]


async def test_a_stream_ends_with_its_reader(web: WebHouse) -> None:
    await web.ready("wine")
    before = len(asyncio.all_tasks())
    await asyncio.gather(*(values(web, "/live/endpoints?name=wine") for _ in range(20)))
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > before + 1:  # noqa: ASYNC110 - one for the ticks, for a while
            await asyncio.sleep(0.02)


async def test_a_stream_ends_with_its_readers_session(web: WebHouse) -> None:
    session = await web.house.sessions.log_in(TOKEN, "10.0.0.1")
    digest = token_hash(session.secret)
    headers = {PRINCIPAL_HEADER: ADMIN, SESSION_HEADER: digest}
    async with asyncio.timeout(10), web.http.stream("GET", "/live/endpoints", headers=headers) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 1000"
        await web.house.sessions.log_out(digest)
        assert [line async for line in lines if "nothing" in line] == []  # until the stream ends
    assert (await web.http.get("/live/endpoints", headers=headers)).status_code == 401


def test_an_event_is_one_message_whatever_its_data_has() -> None:
    assert event("values", {"a": "b\n\ndata: x"}) == b'event: values\ndata: {"a":"b\\n\\ndata: x"}\n\n'


@pytest.mark.parametrize("text", ["a\u202eb", "\\u202e", "\\\u2066x", "\u202a\u202b", "plain ä \\"])
def test_a_text_that_is_sent_turns_no_direction(text: str) -> None:
    sent = json.loads(event("values", {"a": text}).partition(b"data: ")[2])
    assert sent == {"a": harmless(text)}


def test_values_are_sent_when_they_change() -> None:
    sent: dict[str, str] = {}
    assert changed({"a": "1", "b": "2"}, sent) == event("values", {"a": "1", "b": "2"})
    assert changed({"a": "1", "b": "3"}, sent) == event("values", {"b": "3"})
    assert changed({"a": "1", "b": "3"}, sent) == b""


async def test_a_stream_goes_on_while_the_store_is_away() -> None:
    calls = 0

    async def compose(tick: int) -> bytes:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise Unavailable("The store is away.")
        return event("values", {"state": "ready"})

    messages = aiter(stream(Ticker(0.01), compose).body_iterator)
    async with asyncio.timeout(10):
        assert [await anext(messages), await anext(messages)] == [
            b"retry: 1000\n\n", b'event: values\ndata: {"state":"ready"}\n\n',
        ]  # fmt: skip
    assert calls == 3
