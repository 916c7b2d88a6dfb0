"""Ledgers of version 2, which had one record of 512 bytes for each endpoint: read once, after an upgrade."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate.gateway.metering.ledger_file import Unreadable

_MAGIC, _VERSION, _CELLS = 0x7264_6C65_7467_6474, 2, 43
_HEAD = struct.Struct("=QII16s")
_STATUSES, _BUCKETS = 15, 17
_NAME_BYTES, _RECORD_BYTES, _SEGMENT_BYTES = 64, 512, 64 * 1024


@dataclass(frozen=True, slots=True)
class OlderAccount:
    """An endpoint's record. Statuses and latencies are in the order of STATUSES and LATENCY_BUCKETS."""

    accepted: int
    answered: int
    rejected: int
    timed_out: int
    client_gone: int
    lost: int
    microseconds: int
    bytes_in: int
    bytes_out: int
    statuses: tuple[int, ...]
    latencies: tuple[int, ...]
    cold_starts: int
    cold_requests: int


@dataclass(frozen=True, slots=True)
class OlderLedger:
    """A whole ledger. `refused` is in the order of STATUSES."""

    id: bytes
    refused: tuple[int, ...]
    endpoints: Mapping[str, OlderAccount]


def load(path: Path) -> OlderLedger | None:
    """The ledger at `path`; None where the file is no ledger of version 2. Raises Unreadable and FileNotFoundError."""
    with path.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size or _HEAD.unpack(head)[:3] != (_MAGIC, _VERSION, _CELLS):
            return None
        whole = head + file.read()
    if len(whole) % _SEGMENT_BYTES:
        raise Unreadable("its length is not that of a ledger")
    endpoints: dict[str, OlderAccount] = {}
    for at in range(_RECORD_BYTES, len(whole), _RECORD_BYTES):
        name = whole[at : at + _NAME_BYTES].rstrip(b"\0")
        if not name:
            break
        cells = struct.unpack_from(f"={_CELLS}Q", whole, at + _NAME_BYTES)
        if not name.isascii() or name.decode() in endpoints or cells[0] < sum(cells[1:6]):
            raise Unreadable("a record makes no sense")
        endpoints[name.decode()] = _account(cells)
    refused = struct.unpack_from(f"={_STATUSES}Q", whole, _HEAD.size)
    return OlderLedger(_HEAD.unpack_from(whole)[3], refused, endpoints)


def _account(cells: tuple[int, ...]) -> OlderAccount:
    statuses, latencies = cells[9 : 9 + _STATUSES], cells[9 + _STATUSES : 9 + _STATUSES + _BUCKETS]
    accepted, answered, rejected, timed_out, gone, lost, microseconds, bytes_in, bytes_out = cells[:9]
    return OlderAccount(
        accepted,
        answered,
        rejected,
        timed_out,
        gone,
        lost,
        microseconds,
        bytes_in,
        bytes_out,
        statuses,
        latencies,
        cold_starts=cells[-2],
        cold_requests=cells[-1],
    )
