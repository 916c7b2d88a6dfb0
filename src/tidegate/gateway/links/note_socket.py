"""The socket at which control asks a gateway for an endpoint's slowest requests and newest errors.

A line is the name of an endpoint, as JSON; its answer is a line with its `NotedRequests`.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from tidegate.core.planes.noted_requests import NotedRequests
from tidegate.json_lines import JsonLines, Unreadable, listen
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

_MAX_LINE_BYTES = 4096
# An asker that does not read its answers is cut off.
_MAX_UNREAD_BYTES = 1024 * 1024


class NoteSocket:
    """Listens at `path`, and answers with what `noted` returns for an endpoint's name."""

    def __init__(self, path: Path, noted: Callable[[str], NotedRequests]) -> None:
        self._path, self._noted = path, noted
        self._server: asyncio.Server | None = None
        self._open: set[JsonLines] = set()

    async def start(self) -> None:
        """Listen. A socket that an earlier process left at the path is removed. Scoring goes on if that fails."""
        try:
            self._server = await listen(self._path, self._serve, _MAX_LINE_BYTES, _MAX_UNREAD_BYTES)
        except OSError as error:
            logger.warning("slow requests cannot be asked for", extra=fields(socket=self._path, error=error))

    async def stop(self) -> None:
        """Close every connection."""
        if self._server is not None:
            self._server.close()
            for lines in self._open:
                lines.abort()
            await self._server.wait_closed()

    async def _serve(self, lines: JsonLines) -> None:
        self._open.add(lines)
        try:
            async for name in lines.messages(msgspec.json.Decoder(str)):
                lines.send(self._noted(name))
                await lines.drain()
        except (OSError, Unreadable):
            pass  # it asks anew, on another connection
        finally:
            self._open.discard(lines)
            lines.close()
