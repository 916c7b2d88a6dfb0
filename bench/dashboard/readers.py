"""Many readers of event streams, and people who have logged in: sockets of asyncio, so that a thousand cost little."""

import asyncio
import contextlib
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from tests.e2e.running_platform import Platform


def log_in(platform: Platform) -> str:
    """The cookie of a new session."""
    answer = httpx.post(f"{platform.url}/login", data={"token": platform.token, "next": "/"})
    if answer.status_code != 303:
        raise SystemExit(f"The log-in was answered {answer.status_code}.")
    return answer.headers["set-cookie"].partition(";")[0]


@dataclass
class Reader:
    """One reader of a stream: the status of its answer, and how many bytes have come."""

    status: int = 0
    bytes: int = 0
    writer: asyncio.StreamWriter | None = None
    reading: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Whether the stream goes on."""
        return self.reading is not None and not self.reading.done()


async def open_readers(platform: Platform, cookie: str, path: str, count: int) -> list[Reader]:
    """So many readers, 50 at a time, once each has its answer's head."""
    turns = asyncio.Semaphore(50)

    async def one() -> Reader:
        async with turns:
            return await _open(platform.url, cookie, path)

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def close_readers(readers: list[Reader]) -> None:
    """Have all of them leave, as a browser does that is closed."""
    for reader in readers:
        if reader.writer is not None:
            reader.writer.close()
        if reader.reading is not None:
            reader.reading.cancel()
    await asyncio.gather(*(reader.reading for reader in readers if reader.reading), return_exceptions=True)


async def _open(url: str, cookie: str, path: str) -> Reader:
    parts, reader = urlsplit(url), Reader()
    source, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncookie: {cookie}\r\naccept: text/event-stream\r\n\r\n".encode()
    )
    async with asyncio.timeout(60):
        head = await source.readuntil(b"\r\n\r\n")
    reader.status, reader.writer = int(head.split(b" ", 2)[1]), writer
    reader.reading = asyncio.create_task(_read(source, reader))
    return reader


async def _read(source: asyncio.StreamReader, reader: Reader) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while data := await source.read(65536):
            reader.bytes += len(data)
            if b"0\r\n\r\n" in data:
                return
