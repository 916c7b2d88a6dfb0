"""A connection to another process that is made again whenever it has ended."""

import asyncio
import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from tidegate import json_lines
from tidegate.json_lines import JsonLines, Unreadable
from tidegate.supervised import supervised
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.1

Message = TypeVar("Message")


class ProcessLink(ABC, Generic[Message]):
    """Reads messages of one type from a Unix socket. `name` is what the log calls the other process."""

    def __init__(self, name: str, socket: Path, kind: type[Message], max_line_bytes: int) -> None:
        self._name, self._socket, self._max_line_bytes = name, socket, max_line_bytes
        self._decoder = msgspec.json.Decoder(kind)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(supervised(self._run, f"link to {self._name}"))

    async def stop(self) -> None:
        """Close the connection and make no other."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @abstractmethod
    def _opened(self, lines: JsonLines) -> None:
        """The other process can be written to."""

    @abstractmethod
    def _take(self, message: Message) -> None:
        """A message has come. An exception ends the connection; the next one begins anew."""

    @abstractmethod
    async def _closed(self) -> None:
        """The connection has ended."""

    async def _run(self) -> None:
        while True:
            await self._follow()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _follow(self) -> None:
        try:
            lines = await json_lines.connect(self._socket, self._max_line_bytes)
        except OSError:
            return  # the other process is not there yet
        try:
            self._opened(lines)
            while (message := await self._next(lines)) is not None:
                self._take(message)
        finally:
            lines.close()
            await self._closed()

    async def _next(self, lines: JsonLines) -> Message | None:
        """The next message; None when the connection ends, or with a line that is no message."""
        try:
            line = await lines.line()
            return json_lines.decode(line, self._decoder) if line is not None else None
        except OSError:
            return None
        except Unreadable as error:
            logger.warning("a line cannot be read; the link is closed", extra=fields(of=self._name, error=error))
            return None
