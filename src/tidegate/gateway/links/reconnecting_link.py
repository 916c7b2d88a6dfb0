"""A connection to another process that sends JSON lines. It is made again whenever it has ended."""

import asyncio
import logging
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from tidegate.json_lines import JsonLines, Unreadable, connect
from tidegate.supervised import supervised
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.1

Message = TypeVar("Message")


class ReconnectingLink(ABC, Generic[Message]):
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
            lines = await connect(self._socket, self._max_line_bytes)
        except OSError:
            return  # the other process is not there yet
        try:
            self._opened(lines)
            async for message in lines.messages(self._decoder):
                self._take(message)
        except OSError:
            return
        except Unreadable as error:
            logger.warning("a line is not understood; the link is closed", extra=fields(of=self._name, error=error))
        finally:
            lines.close()
            await self._closed()
