"""A gateway's counters in a file mapped into memory: what a process has counted outlives it, `kill -9` included.

The file is an array of records of RECORD_BYTES. The first is the head: magic, version, number of cells, the ledger's
id, then the refusals by status. Each further one is free, or an account: its state, the places of the records that were
merged into it, the names of endpoint and served entity in UTF-8, padded with zeros, then the cells of `record`.

A record's state is written after all the rest of it. An endpoint's record WHOLE is there before its others.
"""

import logging
import secrets
import struct
from collections.abc import Iterator, KeysView
from pathlib import Path

from tidegate.core.planes.account import PAST, Account
from tidegate.core.planes.load_report import STATUSES
from tidegate.core.series.series_point import WHOLE
from tidegate.gateway.metering import older_ledger, record
from tidegate.gateway.metering.ledger_file import LedgerFile, Unreadable
from tidegate.gateway.metering.older_ledger import OlderAccount, OlderLedger
from tidegate.gateway.metering.record import CELLS, Record
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

VERSION = 3  # to be raised with every change of the cells, of STATUSES, COLD_PHASES, LATENCY_BUCKETS or the series'
MAGIC = 0x7264_6C65_7467_6474  # read as an integer, so that a file of another byte order is a foreign one
_HEAD = struct.Struct("=QII16s")
_NAMES = struct.Struct("=QII64s256s")  # state; two places that were merged; endpoint; served entity
_STATE = struct.Struct("=Q")
_FREE, _LIVE = 0, 1
RECORD_BYTES = 6400
SEGMENT_BYTES = 32 * RECORD_BYTES


class Ledger:
    """The records of one file. `id` is drawn anew for each file that is begun."""

    def __init__(self, path: Path) -> None:
        """Open the ledger at `path`, or begin one. Requests that a predecessor left in flight are counted as lost."""
        self._file = LedgerFile(path, RECORD_BYTES, SEGMENT_BYTES)
        self._places: dict[str, dict[str, int]] = {}
        self._free: list[int] = []
        try:
            self._load(path)
        except FileNotFoundError:
            self._begin()
        except Unreadable as why:
            aside = path.with_suffix(".unreadable")
            path.replace(aside)
            logger.warning("a ledger cannot be read; begun anew", extra=fields(set_aside=aside, why=why))
            self._begin()
        self.id = bytes(_HEAD.unpack_from(self._file.record(0))[3]).decode("ascii")

    def body(self, endpoint: str, entity: str = WHOLE) -> memoryview:
        """The bytes of an account's cells. A new account gets a record."""
        if entity != WHOLE:
            self.body(endpoint)
        places = self._places.setdefault(endpoint, {})
        if entity not in places:
            places[entity] = self._take()
            self._publish(places[entity], endpoint, entity)
        return self._body(places[entity])

    @property
    def endpoints(self) -> KeysView[str]:
        """The endpoints that have records."""
        return self._places.keys()

    def entities(self, endpoint: str) -> list[str]:
        """The served entities of an endpoint that have a record, WHOLE and PAST among them."""
        return list(self._places.get(endpoint, ()))

    def accounts(self, endpoint: str) -> dict[str, Account]:
        """The accounts of an endpoint, by served entity."""
        return {entity: Record(self._body(place)).whole() for entity, place in self._places[endpoint].items()}

    @property
    def refused(self) -> memoryview:
        """Refusals before the endpoint was known, one cell for each of STATUSES."""
        return self._file.record(0)[_HEAD.size : _HEAD.size + 8 * len(STATUSES)].cast("Q")

    def merge(self, endpoint: str, entity: str) -> None:
        """Put the counts of a served entity's record into those of PAST, and free the record.

        The sum is written into a further record. Once its state is, it counts, and the two of which it is the sum do
        not; it has their places, so a successor frees them if this process ends before it does.
        """
        places = self._places[endpoint]
        merged = [places.pop(name) for name in (entity, PAST) if name in places]
        places[PAST] = self._take()
        counts, sums = _views(self._body(places[PAST]))
        for place in merged:
            more_counts, more_sums = _views(self._body(place))
            for cell, count in enumerate(more_counts.tolist()):
                if count and cell in record.SECONDS:
                    sums[cell] += more_sums[cell]
                elif count:
                    counts[cell] += count
        self._publish(places[PAST], endpoint, PAST, *merged)
        self._free += self._settle(places[PAST])

    # --- the file

    def _begin(self) -> None:
        self._file.begin(_HEAD.pack(MAGIC, VERSION, CELLS, secrets.token_hex(8).encode()))
        self._places.clear()
        self._free = list(range(len(self._file) - 1, 0, -1))

    def _load(self, path: Path) -> None:
        older = older_ledger.load(path)
        if older is None:
            self._file.open()
        else:
            self._file.begin(_upgraded(older))
        magic, version, cells, _ = _HEAD.unpack_from(self._file.record(0))
        if (magic, version, cells) != (MAGIC, VERSION, CELLS):
            raise Unreadable("it is not a ledger of this version")
        places = range(len(self._file) - 1, 0, -1)
        for place in places:
            self._settle(place)
        self._free = [place for place in places if self._names(place)[0] != _LIVE]
        for place in sorted({*places} - {*self._free}):
            self._know(place)
        for endpoint in self._places:
            self._close(endpoint)

    def _know(self, place: int) -> None:
        """Take a live record in. Raises Unreadable."""
        try:
            endpoint, entity = (name.rstrip(b"\0").decode() for name in self._names(place)[3:])
        except UnicodeDecodeError:
            raise Unreadable("a record has no name") from None
        places = self._places.setdefault(endpoint, {})
        if not endpoint or entity in places:
            raise Unreadable("a record makes no sense")
        places[entity] = place

    def _close(self, endpoint: str) -> None:
        """Count the requests under way as lost: the process that had them has ended. Raises Unreadable."""
        places = self._places[endpoint]
        if WHOLE not in places:
            raise Unreadable("an endpoint has no record of its own")
        left = record.in_flight(_views(self._body(place))[0] for place in places.values())
        if left < 0:
            raise Unreadable("an endpoint's records make no sense")
        _views(self._body(places[WHOLE]))[0][record.LOST] += left

    def _take(self) -> int:
        """The place of a free record, all zeros."""
        if not self._free:
            before = len(self._file)
            self._file.grow()
            self._free = list(range(len(self._file) - 1, before - 1, -1))
        place = self._free.pop()
        self._file.record(place)[:] = bytes(RECORD_BYTES)
        return place

    def _publish(self, place: int, endpoint: str, entity: str, *merged: int) -> None:
        """Make a record count, by its state, the last that is written."""
        whole = self._file.record(place)
        _NAMES.pack_into(whole, 0, _FREE, *(*merged, 0, 0)[:2], endpoint.encode(), entity.encode())
        whole[: _STATE.size].cast("Q")[0] = _LIVE

    def _settle(self, place: int) -> list[int]:
        """Free the records that were merged into this one; their places."""
        state, *merged, _, _ = self._names(place)
        freed = [other for other in merged if other] if state == _LIVE else []
        for other in freed:
            self._file.record(other)[: _STATE.size].cast("Q")[0] = _FREE
        if freed:
            self._file.record(place)[_STATE.size : 2 * _STATE.size].cast("Q")[0] = 0
        return freed

    def _names(self, place: int) -> tuple[int, int, int, bytes, bytes]:
        state, one, other, endpoint, entity = _NAMES.unpack_from(self._file.record(place))
        return state, one, other, endpoint, entity

    def _body(self, place: int) -> memoryview:
        return self._file.record(place)[_NAMES.size : _NAMES.size + 8 * CELLS]


def _views(body: memoryview) -> "tuple[memoryview[int], memoryview[float]]":
    """The cells of a record as counts, and as seconds."""
    return body.cast("Q"), body.cast("d")


def _upgraded(older: OlderLedger) -> bytes:
    """A ledger of version 2 as one of this version, with the same id: what it has counted goes on."""
    head = bytearray(_HEAD.pack(MAGIC, VERSION, CELLS, older.id))
    head += struct.pack(f"={len(older.refused)}Q", *older.refused)
    whole = bytearray(head.ljust(RECORD_BYTES, b"\0"))
    for name, account in older.endpoints.items():
        body = bytearray(8 * CELLS)
        _fill(memoryview(body), account)
        whole += (_NAMES.pack(_LIVE, 0, 0, name.encode(), WHOLE.encode()) + body).ljust(RECORD_BYTES, b"\0")
    return bytes(whole)


def _fill(body: memoryview, account: OlderAccount) -> None:
    """Write an endpoint's account of version 2 as that of WHOLE. The steps of its answers are not known."""
    cells, sums = _views(body)
    predicted = min(account.statuses[0], account.answered)
    cells[record.ACCEPTED], cells[record.PREDICTED] = account.accepted, predicted
    cells[record.FAILED], cells[record.UNSTEPPED] = account.answered - predicted, predicted
    cells[record.REJECTED], cells[record.TIMED_OUT] = account.rejected, account.timed_out
    cells[record.CLIENT_GONE], cells[record.LOST] = account.client_gone, account.lost
    cells[record.BYTES_IN], cells[record.BYTES_OUT] = account.bytes_in, account.bytes_out
    cells[record.COLD_STARTS], cells[record.COLD_REQUESTS] = account.cold_starts, account.cold_requests
    sums[record.OTHER_SECONDS] = account.microseconds / 1e6
    for place, count in enumerate(account.statuses[1:], record.FIRST_STATUS + 1):
        cells[place] = count
    for place, count in enumerate(account.latencies, record.FIRST_COARSE):
        cells[place] = count


def left_by_others(path: Path, gateways: int) -> Iterator[Ledger]:
    """The ledgers beside `path` of gateways that are not started any more, as the setting for their number is lower."""
    for other in sorted(path.parent.glob("*.bin")):
        if other.stem.isdigit() and int(other.stem) >= gateways:
            yield Ledger(other)
