"""A replica in the test's own event loop: speaks the wire protocol, and answers as the test says."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from tidegate.core.endpoint.revision import Address, ReplicaId
from tidegate_worker.ipc import wire

Predict = Callable[[wire.Request], Awaitable[wire.Answer | None]]


async def echo(request: wire.Request) -> wire.Answer:
    """Answer with what was sent."""
    return wire.Answer(request.id, wire.OK, 0, b"predict=1500", b'{"predictions":' + request.body + b"}")


class FakeReplica:
    """Listens on a Unix socket. `predict` returns an answer, or None to end the connection as a crash would."""

    def __init__(
        self,
        folder: Path,
        name: str,
        predict: Predict = echo,
        *,
        credit: int = 1,
        group: int = 1,
        start: Mapping[str, object] | None = None,
    ) -> None:
        self.id = ReplicaId(name)
        self.address = Address(str(folder / f"{name}.sock"), "secret-" + name)
        self.predict = predict
        self.resident: Callable[[], int] = lambda: 0  # what it answers when it is measured
        self.seen: list[wire.Request] = []
        self.groups: list[int] = []
        self.cancelled: list[int] = []
        self._welcome = {"protocol": wire.PROTOCOL, "pid": 1, "credits": credit, "group": group, "start": start}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._serve, self.address.path)

    async def stop(self) -> None:
        """End at once, as by kill -9."""
        if self._server is not None:
            self._server.close()
            Path(self.address.path).unlink(missing_ok=True)
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def send(self, frame: bytes) -> None:
        """Write a frame to every gateway."""
        for writer in self._writers:
            writer.write(frame)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = wire.Frames()
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                for kind, payload in frames.feed(data):
                    self._received(kind, payload, writer)
        self._writers.discard(writer)
        writer.close()

    def _received(self, kind: int, payload: memoryview, writer: asyncio.StreamWriter) -> None:
        if kind == wire.HELLO:
            hello = json.loads(bytes(payload))
            if hello["secret"] != self.address.secret:
                writer.transport.abort()
                return
            writer.write(wire.frame(wire.WELCOME, json.dumps(self._welcome).encode()))
        elif kind == wire.REQUESTS:
            requests = wire.unpack_requests(payload)
            self.groups.append(len(requests))
            for request in requests:
                self.seen.append(request)
                task = asyncio.get_running_loop().create_task(self._answer(request, writer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        elif kind == wire.MEASURE:
            writer.write(wire.pack_ids(wire.MEASURED, [self.resident()]))
        elif kind == wire.CANCEL:
            self.cancelled += wire.unpack_ids(payload)

    async def _answer(self, request: wire.Request, writer: asyncio.StreamWriter) -> None:
        answer = await self.predict(request)
        if answer is None:
            writer.transport.abort()
            for task in self._tasks - {asyncio.current_task()}:
                task.cancel()
        elif not writer.transport.is_closing():
            writer.write(wire.pack_answers([answer]))
