"""A server that stops: its event streams end at once, whoever sends them; what else it answers may finish."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tidegate import http_server
from tidegate.event_streams import EventStreams


class Server:
    """A server with an endless answer and a slow one, and a client of it."""

    def __init__(self, socket: Path) -> None:
        self.ended = 0  # streams whose `finally` has run
        self.finish = asyncio.Event()
        self.stop = asyncio.Event()
        app = FastAPI(middleware=[Middleware(BaseHTTPMiddleware, self._pass_on)])
        app.add_api_route("/events", self._events)
        app.add_api_route("/slow", self._slow)
        config = uvicorn.Config(app, uds=str(socket), log_config=None, lifespan="off", backlog=512)
        self.serving = asyncio.create_task(http_server.serve(config, self.stop))
        self.client = aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(socket), limit=0))

    @staticmethod
    async def _pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    async def _events(self) -> StreamingResponse:
        async def events() -> AsyncIterator[bytes]:
            try:
                yield b"data: 1\n\n"
                await asyncio.Event().wait()
            finally:
                self.ended += 1

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _slow(self) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"o"
            await self.finish.wait()
            yield b"k"

        return StreamingResponse(parts(), media_type="text/plain")


async def test_event_streams_end_when_the_server_stops(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(tmp_path / "s")
    async with server.client as client, asyncio.timeout(20):
        while not (tmp_path / "s").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        streams = [await client.get("/events") for _ in range(20)]
        for stream in streams:
            assert await stream.content.readany() == b"data: 1\n\n"
        slow = await client.get("/slow")
        began = time.monotonic()
        server.stop.set()
        for stream in streams:
            assert await stream.content.read() == b""  # a proper end: aiohttp raises for another one
        assert time.monotonic() - began < 10
        assert server.ended == 20
        assert not server.serving.done()
        server.finish.set()
        assert await slow.text() == "ok"
        await server.serving
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_stream_that_begins_while_the_server_stops_ends_at_once() -> None:
    streams = EventStreams()
    streams.end()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            streams.add(limit)
            await asyncio.sleep(20)
    streams.discard(limit)
    streams.end()
    assert len(streams) == 0
