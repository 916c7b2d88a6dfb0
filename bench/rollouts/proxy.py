"""A door in front of a server on loopback, which can be slow, or shut: for a registry that is far, or away."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
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
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

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

    async def _end(self) -> None:
        self._server.close()
        self._abort_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._held(writer), contextlib.suppress(OSError):
            if self._shut:
                return
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._to)
            with self._held(their_writer):
                asked = asyncio.Event()
                there = asyncio.create_task(self._pump(reader, their_writer, asked.set))
                back = asyncio.create_task(self._pump(their_reader, writer, lambda: None, asked))
                # A connection that one of them has closed is closed for the other too.
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
                for task in (there, back):
                    task.cancel()

    @contextlib.contextmanager
    def _held(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.close()  # what is written still goes out

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passed: Callable[[], None],
        asked: asyncio.Event | None = None,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if asked is not None and asked.is_set():  # the first of an answer
                    asked.clear()
                    await asyncio.sleep(self.delay)
                writer.write(data)
                passed()
                await writer.drain()

    def _abort_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
