"""A file of records of one size, mapped into memory. It grows by segments, each mapped for itself: no byte moves."""

import logging
import mmap
import os
from pathlib import Path

from tidegate.atomic_write import write_atomically
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)


class Unreadable(Exception):
    """The file is no ledger of a version that is known."""


class LedgerFile:
    """The records of the file at `path`. A segment has whole pages and whole records."""

    def __init__(self, path: Path, record_bytes: int, segment_bytes: int) -> None:
        self._path, self._record_bytes, self._segment_bytes = path, record_bytes, segment_bytes
        self._in_segment = segment_bytes // record_bytes
        self._segments: list[memoryview] = []

    def open(self) -> None:
        """Map the file that there is. Raises FileNotFoundError, and Unreadable for one of another length."""
        size = self._path.stat().st_size
        if not size or size % self._segment_bytes:
            raise Unreadable("its length is not that of a ledger")
        self._segments.clear()
        self._map(size // self._segment_bytes)

    def begin(self, content: bytes) -> None:
        """Put a file with this content, and zeros up to the end of its last segment, in the place of what is there."""
        segments = max(1, -(-len(content) // self._segment_bytes))
        whole = content.ljust(segments * self._segment_bytes, b"\0")
        self._segments.clear()
        try:
            write_atomically(self._path, whole)
            self._map(segments)
        except OSError as error:
            self._segments.clear()
            for at in range(0, len(whole), self._segment_bytes):
                self._count_in_memory(error)
                self._segments[-1][:] = whole[at : at + self._segment_bytes]

    def grow(self) -> None:
        """Add a segment."""
        size = len(self._segments) * self._segment_bytes
        try:
            with self._path.open("r+b") as file:  # a hole in the file would end the process once the disk is full
                os.posix_fallocate(file.fileno(), size, self._segment_bytes)
            self._map(len(self._segments) + 1)
        except OSError as error:
            self._count_in_memory(error)

    def __len__(self) -> int:
        """The number of records, free ones included."""
        return len(self._segments) * self._in_segment

    def record(self, place: int) -> memoryview:
        """The bytes of a record."""
        segment, record = divmod(place, self._in_segment)
        return self._segments[segment][record * self._record_bytes : (record + 1) * self._record_bytes]

    def _count_in_memory(self, error: OSError) -> None:
        """Go on without the file, as a request is not refused because it cannot be counted."""
        logger.warning("a ledger cannot be written; counted in memory", extra=fields(path=self._path, error=error))
        self._segments.append(memoryview(mmap.mmap(-1, self._segment_bytes)))

    def _map(self, segments: int) -> None:
        with self._path.open("r+b") as file:
            for number in range(len(self._segments), segments):
                mapped = mmap.mmap(file.fileno(), self._segment_bytes, offset=number * self._segment_bytes)
                self._segments.append(memoryview(mapped))
