"""A door in front of a server on loopback, which can be slow, or shut: for a registry that is far, or away."""

import asyncio
import contextlib
import threading
from typing import Self


class Proxy:
    """Passes TCP connections on to a port. Each answer comes `delay` seconds late; while it is shut, nobody gets in."""

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.port = 0
        self._to = port
        self._shut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def shut(self) -> None:
        """Break all connections, and hang up at once on those that come."""
        self._shut = True
        self._loop.call_soon_threadsafe(self._abort_all)

    def open(self) -> None:
        """Let everybody in again."""
        self._shut = False

    # ---

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if not self._shut:
                await self._pass_on(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = asyncio.Event()
        with contextlib.suppress(OSError):
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._to)
            self._writers.add(their_writer)
            try:
                back = asyncio.create_task(self._pump(their_reader, writer, asked, waits=True))
                await self._pump(reader, their_writer, asked, waits=False)
                their_writer.write_eof()
                await back
            finally:
                self._writers.discard(their_writer)
                their_writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event, *, waits: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not waits:
                    asked.set()
                elif asked.is_set():  # the first of an answer
                    asked.clear()
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()

    def _abort_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
