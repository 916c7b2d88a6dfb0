"""Sends requests when they are due, over as many connections as that takes: the open loop itself. Raw sockets."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import cast
from urllib.parse import urlsplit

from bench.outcome import NO_ANSWER, Outcome, Sample

PATIENCE_SECONDS = 70.0  # the platform answers within a minute
_TICK = 0.001  # uvloop's timers are in whole milliseconds; a shorter sleep would only turn in circles


@dataclass(frozen=True)
class Target:
    """Where requests go, and their bodies, which take turns. `connections` is how many there may be at once."""

    url: str
    bodies: tuple[bytes, ...]
    token: str = ""
    connections: int = 1024

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80

    def requests(self) -> list[bytes]:
        """A whole HTTP request for each body."""
        host, port = self.address
        lines = [f"POST {urlsplit(self.url).path or '/'} HTTP/1.1", f"host: {host}:{port}"]
        lines += ["content-type: application/json", *([f"authorization: Bearer {self.token}"] if self.token else [])]
        head = "\r\n".join(lines).encode()
        return [head + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body for body in self.bodies]


@dataclass(slots=True)
class Job:
    """A request on its way. `due` and `sent` are in monotonic seconds."""

    due: float
    kind: int
    bytes: bytes
    sent: float = 0.0


class _Connection(asyncio.Protocol):
    """One connection, with at most one request on it."""

    def __init__(self, owner: "OpenLoop") -> None:
        self.job: Job | None = None
        self._owner = owner
        self._buffer = bytearray()
        self._status, self._head, self._end = 0, 0, 0  # of the answer that comes in; no end before its head is whole
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._owner.free(self)

    def send(self, job: Job) -> None:
        """Send a request; there is none under way here."""
        assert self._transport is not None
        self.job = job
        job.sent = time.monotonic()
        self._transport.write(job.bytes)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._end and (head := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = bytes(self._buffer[:head]).lower().split(b"\r\n")
            lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
            self._status, self._end = int(lines[0].split(b" ")[1]), head + 4 + (lengths[0] if lengths else 0)
            self._head = head
        if self._end and len(self._buffer) >= self._end and self.job is not None:
            job, self.job = self.job, None
            self._owner.ended(job, self._status, bytes(self._buffer[self._head + 4 : self._end]))
            del self._buffer[: self._end]
            self._end = 0
            self._owner.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.gone(self, repr(exc) if exc else "the connection was closed")

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()


class OpenLoop:
    """One run: sends what is due and enters what becomes of it into `outcome`."""

    def __init__(self, target: Target) -> None:
        self.outcome = Outcome()
        self._target, self._requests = target, target.requests()
        self._started = 0.0
        self._under_way = 0
        self._jobs: deque[Job] = deque()  # those without a connection
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()

    async def run(
        self, due: Iterable[float], start_at: float | None = None, stop: threading.Event | None = None
    ) -> None:
        """Send at these times, in seconds from now or from `start_at` (monotonic), and wait for the answers."""
        self._started = start_at if start_at is not None else time.monotonic()
        for number, at in zip(count(), due):
            await self._wait_until(self._started + at)
            if stop is not None and stop.is_set():
                break
            self._submit(number, self._started + at)
            if not number % 64:
                await asyncio.sleep(0)  # answers are taken even while it is behind
        await self._settle()

    async def _wait_until(self, due: float) -> None:
        wait = due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(max(wait, _TICK))

    def job(self, number: int, due: float) -> Job:
        """The request of this number."""
        kind = number % len(self._requests)
        return Job(due, kind, self._requests[kind])

    def _submit(self, number: int, due: float) -> None:
        self.outcome.late.append(time.monotonic() - due)
        self._under_way += 1
        self._jobs.append(self.job(number, due))
        if self._idle:
            self.free(self._idle.pop())
        else:
            self._open_another()

    def _open_another(self) -> None:
        if len(self._open) + len(self._opening) < self._target.connections:
            task = asyncio.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Connection(self), *self._target.address)
        except OSError as error:
            if self._jobs:
                self.ended(self._jobs.popleft(), NO_ANSWER, repr(error).encode())

    async def _settle(self) -> None:
        """Wait for the last answers; what has none by then has failed."""
        self._settled.clear()
        if self._under_way:
            try:
                await asyncio.wait_for(self._settled.wait(), PATIENCE_SECONDS)
            except TimeoutError:
                for job in [*self._jobs, *(c.job for c in self._open if c.job is not None)]:
                    self.ended(job, NO_ANSWER, b"nothing came in time")
        for connection in list(self._open):
            connection.job = None
            connection.close()

    # called by connections

    def free(self, connection: _Connection) -> None:
        """It can take a request."""
        self._open.add(connection)
        if self._jobs:
            connection.send(self._jobs.popleft())
        else:
            self._idle.append(connection)

    def gone(self, connection: _Connection, why: str) -> None:
        """It has ended."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.job is not None:
            self.ended(connection.job, NO_ANSWER, why.encode())
        if self._jobs:
            self._open_another()

    def ended(self, job: Job, status: int, body: bytes) -> None:
        """A request has its answer, or will have none."""
        seconds = time.monotonic() - job.due
        sample = Sample(job.due - self._started, seconds, status, job.kind)
        self.outcome.add(sample, "" if sample.ok else body[:200].decode("utf-8", "replace"))
        self._under_way -= 1
        if not self._under_way:
            self._settled.set()
