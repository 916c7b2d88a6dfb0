"""The log of a preparation, which a user follows while it grows."""

import asyncio
import logging
import time
from concurrent.futures import Executor, Future
from pathlib import Path

from tidegate.ports import Clock
from tidegate.telemetry import fields, printable

logger = logging.getLogger(__name__)

_INDENT = "\n    "


class BuildLog:
    """A `Log` that writes to a file, each entry with its time. Further lines of an entry are indented, so that no text
    from a model or a registry can pass for an entry.

    `writer` has one thread, which writes the lines in their order: the event loop never waits for the disk. A line that
    cannot be written is lost, and the preparation goes on: a full disk fails it soon enough.
    """

    def __init__(self, path: Path, clock: Clock, writer: Executor) -> None:
        self._path, self._clock, self._writer = path, clock, writer
        self._newest: Future[None] | None = None

    def __call__(self, line: str) -> None:
        """Add an entry; returns before it is written."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock.now()))
        lines = [printable(part) for part in line.splitlines()]
        self._newest = self._writer.submit(self._write, f"{stamp} {_INDENT.join(lines)}\n")

    async def written(self) -> None:
        """Wait until every line so far has been written, or lost."""
        if self._newest is not None:
            await asyncio.wrap_future(self._newest)

    def _write(self, text: str) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError as error:
            logger.warning("a build log cannot be written", extra=fields(path=self._path, error=error.strerror))
