"""The pid file of a replica: what the next agent needs to know it again, and to be sure that it is the same process."""

import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tidegate.core.endpoint.revision import Address, ReplicaId, RevisionId
from tidegate.telemetry import fields
from tidegate_worker.ipc import wire

_log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAME = re.compile(r"([0-9a-f]{8})\.(json|sock)")


class ReplicaRecord(msgspec.Struct, frozen=True):
    """A replica as it stands in `run/<id>.json`, mode 0600. `start_ticks` is field 22 of /proc/<pid>/stat, proc(5)."""

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
    protocol: int = wire.PROTOCOL

    @property
    def alive(self) -> bool:
        """Whether this very process runs: its pid may have been given to another, since or before a reboot."""
        return self.boot_id == boot_id() and self.start_ticks == start_ticks(self.pid)

    @property
    def age(self) -> float:
        """Seconds since the process started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - self.start_ticks / os.sysconf("SC_CLK_TCK")


def boot_id() -> str:
    """The id of this boot of the machine."""
    return _BOOT_ID.read_text().strip()


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since the boot; None when it does not run, or is but a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
    return None if state in "ZX" else int(rest[18])


class ReplicaRecords:
    """The pid files and sockets of a run directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def socket(self, replica: ReplicaId) -> Path:
        """Where that replica listens."""
        return self._folder / f"{replica}.sock"

    def write(self, record: ReplicaRecord) -> None:
        """Add or replace it; it appears whole or not at all. Raises OSError."""
        file = self._file(record.id)
        draft = file.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            opened.write(msgspec.json.encode(record))
        draft.replace(file)

    def remove(self, replica: ReplicaId) -> None:
        """Drop its pid file and its socket. Idempotent."""
        self.socket(replica).unlink(missing_ok=True)
        self._file(replica).unlink(missing_ok=True)

    def living(self) -> Iterator[ReplicaRecord]:
        """The records of processes that run; what is left of others is removed."""
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
