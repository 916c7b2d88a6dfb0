"""JSON over a Unix stream socket between two of the platform's processes, one message a line.

`connect` and `listen` make the streams; both ends read with `messages` or `lines` and write with `send`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tidegate import private_socket

T = TypeVar("T")


class Unreadable(Exception):
    """The peer has sent a line that is too long, or that is not the message which is expected."""


def encoded(message: object) -> bytes:
    """A message as it is sent. Half of a surrogate pair, which is no text, becomes a question mark.

    A model or a registry may write one, and all else that the message says must arrive nevertheless.
    """
    try:
        return msgspec.json.encode(message)
    except UnicodeEncodeError:
        values = msgspec.to_builtins(message, str_keys=True)
        return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


class JsonLines:
    """One connection. What fails because the peer has gone raises OSError.

    A peer that does not read is cut off once `max_unread_bytes` wait for it; None sets no limit.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_unread_bytes: int | None = None
    ) -> None:
        self._reader, self._writer, self._max_unread_bytes = reader, writer, max_unread_bytes

    async def line(self) -> bytes | None:
        """The next line without its newline; None at the end. A last line that was cut off, without one, is left out.

        Raises Unreadable for a line over the limit, of which no more can be read, and OSError.
        """
        try:
            return (await self._reader.readuntil())[:-1]
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            raise Unreadable("a line is longer than it may be") from None

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines until the end. Raises what `line` does."""
        while (line := await self.line()) is not None:
            yield line

    async def messages(self, decoder: "msgspec.json.Decoder[T]") -> AsyncIterator[T]:
        """The messages until the end. Raises what `line` does, and Unreadable for one that is not what is expected."""
        async for line in self.lines():
            yield decode(line, decoder)

    def send(self, message: object) -> bool:
        """Write a message without waiting; `bytes` are encoded already. Returns False if this cuts the peer off."""
        if self._writer.is_closing():
            return True
        self._writer.write((message if isinstance(message, bytes) else encoded(message)) + b"\n")
        unread = self._writer.transport.get_write_buffer_size()
        if self._max_unread_bytes is None or unread <= self._max_unread_bytes:
            return True
        self.abort()
        return False

    async def drain(self) -> None:
        """Wait until little of what was written is left. Raises OSError."""
        await self._writer.drain()

    def abort(self) -> None:
        """End the connection at once; both readers see the end."""
        self._writer.transport.abort()

    def close(self) -> None:
        """End the connection once all is written."""
        self._writer.close()

    async def wait_closed(self) -> None:
        """Wait for the end of a connection that was closed. Raises OSError."""
        await self._writer.wait_closed()


def decode(line: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """The message of a line. Raises Unreadable."""
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from None


async def connect(path: Path, max_line_bytes: int) -> JsonLines:
    """A connection to the process that listens at `path`. Raises OSError."""
    return JsonLines(*await asyncio.open_unix_connection(path, limit=max_line_bytes))


async def listen(
    path: Path,
    serve: Callable[[JsonLines], Awaitable[Any]],
    max_line_bytes: int,
    max_unread_bytes: int | None = None,
) -> asyncio.Server:
    """Listen at `path` for this user alone, in place of a dead predecessor; `serve` runs once for each connection.

    Raises OSError.
    """

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(JsonLines(reader, writer, max_unread_bytes))

    return await asyncio.start_unix_server(accepted, sock=private_socket.bind(path), limit=max_line_bytes)
