"""Event streams through the gateway: they end when their reader has gone, when the gateway stops, and have a limit."""

import asyncio
import logging
import time
from pathlib import Path
from typing import cast

import pytest

from tests.gateway.house import TOKEN, until
from tests.gateway.http.upstream import OK, STREAM, Client, Place, endless, raw_house, says

READERS = 200


async def readers(place: Place, count: int, *headers: str, path: str = "/api/events") -> list[Client]:
    """So many clients that have the first event of an endless answer."""
    clients = [await place.client() for _ in range(count)]
    for client in clients:
        client.send(f"GET {path}", *headers)
    for client in clients:
        assert b" 200 " in await client.head()
        await client.reader.readuntil(b"data: 1")
    return clients


def wrongs(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_stream_ends_when_its_reader_has_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with raw_house(tmp_path) as place:
        place.control.routes["/api/events"] = endless
        for _ in range(3):
            await readers(place, READERS)
            assert place.control.open >= READERS
            place.hang_up()
            await until(lambda: place.control.open <= 1)  # one may be kept for the next request
    assert wrongs(caplog) == []


async def test_an_answer_that_nobody_waits_for_is_given_up(tmp_path: Path) -> None:
    """A read ends before its head has come; a write is carried out, as a caller relies on it who has gone."""
    began, ended = list[str](), list[str]()

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        began.append("read")
        if not await reader.read(1):
            ended.append("read")
            raise ConnectionError

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began.append("write")
        await until(lambda: ended)
        writer.write(OK)
        ended.append("write")

    async with raw_house(tmp_path) as place:
        place.control.routes |= {"/api/silent": silent, "/api/slow": slow}
        for line in ("GET /api/silent", "POST /api/slow"):
            (await place.client()).send(line, "content-length: 0")
        await until(lambda: len(began) == 2)
        place.hang_up()
        await until(lambda: ended == ["read", "write"])
        await until(lambda: place.control.open <= 1)


async def test_a_client_that_goes_as_it_comes_leaves_nothing(tmp_path: Path) -> None:
    """Request and reset may reach the gateway in one turn of its loop."""
    async with raw_house(tmp_path) as place:
        place.control.routes["/api/events"] = endless
        for pause in (0.0, 0.0, 0.001, 0.002) * 10:
            (await place.client()).send("GET /api/events")
            await asyncio.sleep(pause)
            place.hang_up()
        await place.home.client.get("/api/x")
        await until(lambda: place.control.open <= 1)


async def test_streams_end_at_once_when_the_gateway_stops(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ordinary = asyncio.Event()

    async def slow(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
        await ordinary.wait()
        writer.write(b"k")

    async with raw_house(tmp_path) as place:
        place.control.routes |= {"/api/events": endless, "/api/slow": slow}
        clients = await readers(place, 20)
        waiting = await place.client()
        waiting.send("GET /api/slow")
        await waiting.head()
        began = time.monotonic()
        stopping = asyncio.create_task(place.home.stop_gateway())
        for client in clients:
            assert await client.reader.read() == b"\r\n0\r\n\r\n"  # whole, so that an EventSource connects again
        assert time.monotonic() - began < 10  # an ordinary answer would have 60 s
        assert not stopping.done()
        ordinary.set()
        assert await waiting.reader.read() == b"ok"
        await stopping
    assert wrongs(caplog) == []


async def test_a_reader_that_reads_nothing_holds_up_no_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sent: list[float] = []

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + b"\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            sent.append(time.monotonic())

    async with raw_house(tmp_path) as place:
        place.control.routes["/api/events"] = flood
        client = await place.client()
        cast("asyncio.Transport", client.writer.transport).pause_reading()
        client.send("GET /api/events")
        await until(lambda: len(sent) > 2 and time.monotonic() - sent[-1] > 0.3)
        began = time.monotonic()
        await place.home.stop_gateway()
        assert time.monotonic() - began < 10  # not the 60 s that a client has for reading
    assert wrongs(caplog) == []


async def test_streams_have_a_limit_of_their_own(tmp_path: Path) -> None:
    async with raw_house(tmp_path, max_streams=3) as place:
        place.control.routes |= {"/api/events": endless, "/api/more": endless, "/api/no-stream": says(OK)}
        accepted = await readers(place, 2, "accept: text/event-stream")
        await readers(place, 1)  # whoever does not say it accepts one is counted when it begins
        for headers in ({"accept": "text/event-stream"}, {}):
            refused = await place.home.client.get("/api/more", headers=headers)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert (await place.home.client.get("/api/no-stream")).status_code == 200
        accepted[0].hang_up()
        await until(lambda: place.control.open <= 3)
        await readers(place, 1, "accept: text/html, text/event-stream;q=0.9")


async def test_ordinary_requests_have_a_limit_and_wait_for_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = asyncio.Event()

    async def held(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await free.wait()
        writer.write(OK)

    monkeypatch.setattr("tidegate.gateway.http.turns.MAX_ORDINARY", 2)
    async with raw_house(tmp_path) as place:
        place.control.routes |= {"/api/held": held, "/api/events": endless}
        first = [await place.client() for _ in range(2)]
        for client in first:
            client.send("GET /api/held")
        await until(lambda: len(place.control.heads) == 2)
        refused = await place.home.client.get("/api/x")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        await readers(place, 1, "accept: text/event-stream")
        waits = asyncio.create_task(place.home.client.get("/api/x"))
        free.set()
        assert (await waits).status_code == 200
        for client in first:
            assert b" 200 " in await client.head()
        assert (await place.home.client.get("/api/x", headers={"authorization": f"Bearer {TOKEN}"})).text == "ok"
