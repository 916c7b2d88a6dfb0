"""The pid files of replicas, by which the next agent finds and recognises the processes that still run."""

import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tidegate.atomic_write import draft_of, write_atomically
from tidegate.core.endpoint.revision import Address, ReplicaId, RevisionId
from tidegate.processes.process_start import boot_id, start_ticks
from tidegate.telemetry import fields
from tidegate_worker.ipc import wire

_log = logging.getLogger(__name__)

_NAME = re.compile(r"([0-9a-f]{8})\.(json|sock)")


class ReplicaRecord(msgspec.Struct, frozen=True):
    """A replica's pid file, `run/<id>.json` of mode 0600. `start_ticks`: see `processes.process_start`."""

    id: ReplicaId
    revision: RevisionId
    launch: str  # see `launch_digest`
    address: Address
    pid: int
    start_ticks: int
    boot_id: str
    started_at: float  # unix seconds
    ready: bool = False
    forked: bool = False
    loaded_at: float = 0.0  # unix seconds, see Replica
    ready_at: float = 0.0
    protocol: int = wire.PROTOCOL

    @property
    def alive(self) -> bool:
        """Whether this process still runs. Another process may have its pid by now, after a reboot too."""
        return self.boot_id == boot_id() and self.start_ticks == start_ticks(self.pid)

    @property
    def age(self) -> float:
        """The seconds since the process started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.start_ticks / os.sysconf("SC_CLK_TCK")


class ReplicaRecords:
    """The pid files and sockets of a run directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def socket(self, replica: ReplicaId) -> Path:
        """The path of a replica's socket."""
        return self._folder / f"{replica}.sock"

    def write(self, record: ReplicaRecord) -> None:
        """Add or replace a record. Raises OSError."""
        write_atomically(self._file(record.id), msgspec.json.encode(record))

    def remove(self, replica: ReplicaId) -> None:
        """Remove a replica's pid file and its socket. Idempotent."""
        self.socket(replica).unlink(missing_ok=True)
        self._file(replica).unlink(missing_ok=True)

    def discard_drafts(self) -> None:
        """Remove the drafts that a killed agent has left. Raises OSError."""
        for draft in self._folder.glob(draft_of(Path("*.json")).name):
            if _NAME.fullmatch(draft.stem):
                draft.unlink(missing_ok=True)

    def living(self) -> Iterator[ReplicaRecord]:
        """The records of running processes. The files of all others are removed."""
        names = {match[1] for file in self._folder.iterdir() if (match := _NAME.fullmatch(file.name))}
        for replica in map(ReplicaId, sorted(names)):
            record = self._read(replica)
            if record is not None and record.alive:
                yield record
            else:
                self.remove(replica)

    def _read(self, replica: ReplicaId) -> ReplicaRecord | None:
        try:
            return msgspec.json.decode(self._file(replica).read_bytes(), type=ReplicaRecord)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.error("a replica's pid file is corrupt", extra=fields(replica=replica, error=error))
            return None

    def _file(self, replica: ReplicaId) -> Path:
        return self._folder / f"{replica}.json"
