"""The end of a log as a page shows it, and the lines that come after it."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# The most bytes that one look reads. Of a log that grows faster, what is older is skipped.
MAX_NEWS_BYTES = 64 * 1024
# The most bytes of a line without an end that are waited for; a longer one is handed over in pieces.
_LONGEST_LINE = 16 * 1024
# As many bytes before the position are compared: the agent rotates a log by cutting it in place.
_SEEN_BYTES = 64


@dataclass(frozen=True, slots=True)
class LogNews:
    """What a log has gained, in whole lines.

    `skipped`: lines before these are left out. `began_anew`: the log was cut since the last look, as in a rotation.
    """

    text: str = ""
    skipped: bool = False
    began_anew: bool = False


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The last lines of a log. `at` is the byte after the last whole line; what follows it is the beginning of one."""

    text: str = ""
    at: int = 0
    is_all: bool = True  # nothing is left out before these lines


def log_end(path: Path, most: int) -> LogEnd:
    """The last lines of a log, at most so many bytes; empty where there is no log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most))
            data = file.read(most)
    except FileNotFoundError:
        return LogEnd()
    first = data.find(b"\n") + 1 if size > most else 0
    whole = data.rfind(b"\n") + 1
    return LogEnd(data[first:].decode("utf-8", "replace"), max(0, size - most) + whole, size <= most)


class LogFollower:
    """A position in a log. Text that is no UTF-8 is replaced.

    `read_from` is the byte that the first look begins at; None for the log's end.
    """

    def __init__(self, path: Path, read_from: int | None = None) -> None:
        self._path = path
        self._at = read_from
        self._seen = b""

    async def news(self) -> LogNews:
        """What has come since the last look. The disk is read in a thread."""
        return await asyncio.to_thread(self.look)

    def look(self) -> LogNews:
        """The same, in this thread."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                began_anew = False
                if self._at is None:
                    self._at = size
                elif size < self._at or not self._is_same(file):
                    self._at, began_anew = 0, True
                start = max(self._at, size - MAX_NEWS_BYTES)
                skipped = start > self._at
                file.seek(start)
                data = file.read(size - start)
                if skipped:
                    data = data[data.find(b"\n") + 1 :]
                    start = size - len(data)
                whole = data.rfind(b"\n") + 1 or (len(data) if len(data) >= _LONGEST_LINE else 0)
                self._at = start + whole
                file.seek(max(0, self._at - _SEEN_BYTES))
                self._seen = file.read(min(self._at, _SEEN_BYTES))
        except FileNotFoundError:
            self._at, self._seen = 0, b""
            return LogNews()
        return LogNews(data[:whole].decode("utf-8", "replace"), skipped, began_anew)

    def _is_same(self, file: BinaryIO) -> bool:
        """Whether the bytes before the position are those of the last look."""
        assert self._at is not None
        file.seek(self._at - len(self._seen))
        return file.read(len(self._seen)) == self._seen
