"""A gateway's counters in a file mapped into memory: what a process has counted outlives it, `kill -9` included.

The file is an array of records of 512 bytes. The first is the head: magic, version, number of cells, the ledger's id,
then the refusals by status. Each further one is an endpoint's: its name, padded with zeros to 64 bytes, then its cells,
unsigned 64-bit integers in this machine's byte order. It grows by segments, each mapped for itself: no cell moves.
"""

import logging
import mmap
import os
import secrets
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from tidegate.atomic_write import write_atomically
from tidegate.core.planes.account import Account
from tidegate.core.planes.latency_cells import LATENCY_BUCKETS
from tidegate.core.planes.load_report import STATUSES
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# The cells of an endpoint; those of STATUSES and LATENCY_BUCKETS (and one more) follow, then those of cold starts.
ACCEPTED, ANSWERED, REJECTED, TIMED_OUT, CLIENT_GONE, LOST, MICROSECONDS, BYTES_IN, BYTES_OUT = range(9)
FIRST_STATUS = 9
FIRST_LATENCY = FIRST_STATUS + len(STATUSES)
COLD_STARTS = FIRST_LATENCY + len(LATENCY_BUCKETS) + 1
COLD_REQUESTS = COLD_STARTS + 1
CELLS = COLD_REQUESTS + 1

VERSION = 2  # to be raised with every change of the cells, of STATUSES or of LATENCY_BUCKETS
MAGIC = 0x7264_6C65_7467_6474  # read as an integer, so that a file of another byte order is a foreign one
_HEAD = struct.Struct("=QII16s")
_NAME_BYTES = 64
RECORD_BYTES = 512
SEGMENT_BYTES = 64 * 1024
_RECORDS = SEGMENT_BYTES // RECORD_BYTES


class Unreadable(Exception):
    """The file is no ledger of this version."""


class Ledger:
    """The records of one file. `id` is drawn anew for each file that is begun."""

    def __init__(self, path: Path) -> None:
        """Open the ledger at `path`, or begin one. Requests that a predecessor left in flight are counted as lost."""
        self._path = path
        self._segments: list[memoryview] = []
        self._places: dict[str, int] = {}
        try:
            self._load()
        except FileNotFoundError:
            self._begin()
        except Unreadable as why:
            aside = path.with_suffix(".unreadable")
            path.replace(aside)
            logger.warning("a ledger cannot be read; begun anew", extra=fields(set_aside=aside, why=why))
            self._begin()
        self.id = bytes(_HEAD.unpack_from(self._record(0))[3]).decode("ascii")

    def cells(self, endpoint: str) -> memoryview:
        """The endpoint's cells. A new endpoint gets a record."""
        place = self._places.get(endpoint)
        if place is None:
            place = len(self._places) + 1
            if place == len(self._segments) * _RECORDS:
                self._grow()
            self._record(place)[:_NAME_BYTES] = endpoint.encode("ascii").ljust(_NAME_BYTES, b"\0")
            self._places[endpoint] = place
        return self._cells(place)

    @property
    def endpoints(self) -> Sequence[str]:
        """The endpoints that have a record."""
        return list(self._places)

    @property
    def refused(self) -> memoryview:
        """Refusals before the endpoint was known, one cell for each of STATUSES."""
        return self._record(0)[_HEAD.size : _HEAD.size + 8 * len(STATUSES)].cast("Q")

    # --- the file

    def _begin(self) -> None:
        self._segments.clear()
        self._places.clear()
        head = _HEAD.pack(MAGIC, VERSION, CELLS, secrets.token_hex(8).encode())
        try:
            write_atomically(self._path, head.ljust(SEGMENT_BYTES, b"\0"))
            self._map(1)
        except OSError as error:
            self._count_in_memory(error)
            self._segments[0][: len(head)] = head

    def _load(self) -> None:
        size = self._path.stat().st_size
        if not size or size % SEGMENT_BYTES:
            raise Unreadable("its length is not that of a ledger")
        self._map(size // SEGMENT_BYTES)
        magic, version, cells, _ = _HEAD.unpack_from(self._record(0))
        if (magic, version, cells) != (MAGIC, VERSION, CELLS):
            raise Unreadable("it is not a ledger of this version")
        for place in range(1, len(self._segments) * _RECORDS):
            name = bytes(self._record(place)[:_NAME_BYTES]).rstrip(b"\0")
            if not name:
                break
            self._take(name, place)
        for place in self._places.values():
            close(self._cells(place))

    def _take(self, name: bytes, place: int) -> None:
        cells = self._cells(place)
        if not name.isascii() or name.decode() in self._places or in_flight(cells) < 0:
            raise Unreadable("a record makes no sense")
        self._places[name.decode()] = place

    def _grow(self) -> None:
        size = len(self._segments) * SEGMENT_BYTES
        try:
            with self._path.open("r+b") as file:  # a hole in the file would end the process once the disk is full
                os.posix_fallocate(file.fileno(), size, SEGMENT_BYTES)
            self._map(len(self._segments) + 1)
        except OSError as error:
            self._count_in_memory(error)

    def _count_in_memory(self, error: OSError) -> None:
        """Go on without the file, as a request is not refused because it cannot be counted."""
        logger.warning("a ledger cannot be written; counted in memory", extra=fields(path=self._path, error=error))
        self._segments.append(memoryview(mmap.mmap(-1, SEGMENT_BYTES)))

    def _map(self, segments: int) -> None:
        with self._path.open("r+b") as file:
            for number in range(len(self._segments), segments):
                mapped = mmap.mmap(file.fileno(), SEGMENT_BYTES, offset=number * SEGMENT_BYTES)
                self._segments.append(memoryview(mapped))

    def _record(self, place: int) -> memoryview:
        segment, record = divmod(place, _RECORDS)
        return self._segments[segment][record * RECORD_BYTES : (record + 1) * RECORD_BYTES]

    def _cells(self, place: int) -> memoryview:
        return self._record(place)[_NAME_BYTES : _NAME_BYTES + 8 * CELLS].cast("Q")


def in_flight(cells: memoryview) -> int:
    """Requests accepted and not closed."""
    return int(cells[ACCEPTED] - sum(cells[ANSWERED : LOST + 1]))


def close(cells: memoryview) -> None:
    """Count the requests under way as lost: the process that had them has ended."""
    cells[LOST] += in_flight(cells)


def account(cells: memoryview) -> Account:
    """An endpoint's cells as an account."""
    statuses = zip(STATUSES, cells[FIRST_STATUS:FIRST_LATENCY], strict=True)
    return Account(
        accepted=cells[ACCEPTED],
        answered=cells[ANSWERED],
        rejected=cells[REJECTED],
        timed_out=cells[TIMED_OUT],
        client_gone=cells[CLIENT_GONE],
        lost=cells[LOST],
        statuses={status: count for status, count in statuses if count},
        coarse=tuple(cells[FIRST_LATENCY:COLD_STARTS]),
        latency_sum=cells[MICROSECONDS] / 1e6,
        request_bytes=cells[BYTES_IN],
        response_bytes=cells[BYTES_OUT],
        cold_starts=cells[COLD_STARTS],
        cold_requests=cells[COLD_REQUESTS],
    )


def left_by_others(path: Path, gateways: int) -> Iterator[Ledger]:
    """The ledgers beside `path` of gateways that are not started any more, as the setting for their number is lower."""
    for other in sorted(path.parent.glob("*.bin")):
        if other.stem.isdigit() and int(other.stem) >= gateways:
            yield Ledger(other)
