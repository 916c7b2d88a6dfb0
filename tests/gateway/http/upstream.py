"""A server on a Unix socket that works byte by byte, a house that has it as control, and clients of the same kind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from tests.gateway.house import TOKEN, FakeControl, House
from tidegate.settings import RegistrySettings

Route = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n7\r\ndata: 1\r\n"


class Upstream:
    """Answers by path; a path without a route gets `OK`. `heads` are what it was sent."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.heads: list[bytes] = []
        self.writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def open(self) -> int:
        """Connections that are open."""
        return len(self.writers)

    async def start(self, socket: Path) -> None:
        self._server = await asyncio.start_unix_server(self._serve, socket, backlog=2048)  # as uvicorn

    def kill(self) -> None:
        """End it as `kill -9` does: nobody is told anything."""
        if self._server is not None:
            self._server.close()
        for writer in list(self.writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                path = head.split(b" ")[1].partition(b"?")[0].decode("latin-1")
                await self.routes.get(path, _ok)(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()


async def _ok(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An event stream with one event. It says nothing more, and ends when its reader has gone."""
    writer.write(STREAM)
    if not await reader.read(1):
        raise ConnectionError


def says(answer: bytes) -> Route:
    """A route with this answer."""

    async def route(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return route


class RawControl(FakeControl):
    """Control whose API is an `Upstream`."""

    upstream: Upstream

    async def start(self) -> None:
        self._link = await asyncio.start_unix_server(self._serve, self._data.planes_socket)
        self.upstream = Upstream()
        await self.upstream.start(self._data.api_socket)

    async def stop(self) -> None:
        await super().stop()
        self.upstream.kill()


class Place:
    """A house whose control and registry are upstreams, and clients."""

    def __init__(self, home: House, control: Upstream, registry: Upstream) -> None:
        self.home, self.control, self.registry = home, control, registry
        self._clients: list[Client] = []

    async def client(self) -> "Client":
        """A client that is connected to the gateway."""
        made = Client(*await asyncio.open_connection("127.0.0.1", self.home.listener.getsockname()[1]))
        self._clients.append(made)
        return made

    def hang_up(self) -> None:
        """All clients go."""
        while self._clients:
            self._clients.pop().hang_up()


@contextlib.asynccontextmanager
async def raw_house(root: Path, max_streams: int = 2000) -> AsyncIterator[Place]:
    """A place that stands for the length of a `with`."""
    built = House(root)
    server = replace(built.settings.server, max_streams=max_streams)
    built.settings = replace(built.settings, server=server, registry=RegistrySettings())
    built.control = control = RawControl(built.data, built.table())
    registry = Upstream()
    try:
        await registry.start(built.data.registry_socket)
        await built.start()
        registry.heads.clear()
        control.upstream.heads.clear()
        place = Place(built, control.upstream, registry)
        yield place
        place.hang_up()
    finally:
        await built.stop()
        registry.kill()


class Client:
    """A client on a raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, line: str, *headers: str, body: bytes = b"") -> None:
        """A request with a token."""
        lines = (f"{line} HTTP/1.1", "host: h", f"authorization: Bearer {TOKEN}", *headers, "", "")
        self.writer.write("\r\n".join(lines).encode("latin-1") + body)

    async def head(self) -> bytes:
        """The head of the next answer."""
        return await self.reader.readuntil(b"\r\n\r\n")

    def hang_up(self) -> None:
        self.writer.transport.abort()
