"""What processes use, measured: CPU time and memory."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from tidegate.supervised import Defects

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

SAMPLE_SECONDS = 1.0  # between two samples of CPU time and resident memory
# Between two measurements of the PSS: while the replica works, and while it does not.
MEASURE_SECONDS, MEASURE_IDLE_SECONDS = 10.0, 60.0
# Once resident memory has grown by this many bytes since the last measurement, the PSS is measured at once.
GROWTH_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class Usage:
    """What one replica used at its last sample. Times are monotonic seconds; `memory_bytes` is the PSS."""

    cpu_seconds: float = 0.0
    resident_bytes: int = 0
    memory_bytes: int = 0
    measured_at: float | None = None
    measured_resident: int = 0
    measured_cpu: float = 0.0

    def is_due(self, now: float) -> bool:
        """Whether the PSS is to be measured, which takes some milliseconds per 100 MB."""
        if self.measured_at is None or self.resident_bytes >= self.measured_resident + GROWTH_BYTES:
            return True
        rest = MEASURE_SECONDS if self.cpu_seconds > self.measured_cpu else MEASURE_IDLE_SECONDS
        return now - self.measured_at >= rest

    def measured(self, memory_bytes: int, now: float) -> None:
        """Note a measurement of the PSS."""
        self.memory_bytes, self.measured_at = memory_bytes, now
        self.measured_resident, self.measured_cpu = self.resident_bytes, self.cpu_seconds


class MeasuredProcess(Protocol):
    """A process that is measured."""

    usage: Usage

    @property
    def pid(self) -> int: ...


class Sampler:
    """Measures replicas once a second, in a thread. `changed` is called after every measurement of memory."""

    def __init__(self, replicas: Callable[[], Iterable[MeasuredProcess]], changed: Callable[[], None]) -> None:
        self._replicas, self._changed = replicas, changed

    async def run(self) -> None:
        """Measure, without end."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            await self.sample(loop.time())

    async def sample(self, now: float) -> None:
        """Measure what is due. A process that has ended is skipped."""
        measured = False
        with Defects("replicas could not be measured") as defects:
            for replica in self._replicas():
                with defects.collected():
                    if _sample(replica) and replica.usage.is_due(now):
                        measured = True
                        if (memory := await asyncio.to_thread(memory_bytes, replica.pid)) is not None:
                            replica.usage.measured(memory, now)
            if measured:
                self._changed()


def _sample(replica: MeasuredProcess) -> bool:
    """Sample CPU time and resident memory. Returns whether the process still runs."""
    cpu, resident = cpu_seconds(replica.pid), resident_bytes(replica.pid)
    if cpu is None or resident is None:
        return False
    replica.usage.cpu_seconds, replica.usage.resident_bytes = cpu, resident
    return True


def cpu_seconds(pid: int) -> float | None:
    """CPU seconds that all threads of a process have used, to the nanosecond; None once it is reaped.

    See clock_getcpuclockid(3).
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process with all that it shares: never less than its PSS. None when it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * _PAGE_BYTES or None  # a zombie has no memory


def memory_bytes(pid: int) -> int | None:
    """The proportional set size (PSS) of a process: shared memory is divided among those that share it.

    None when it has ended. Blocks: some milliseconds per 100 MB.
    """
    try:
        return int(psutil.Process(pid).memory_full_info().pss) or None  # a zombie has no memory
    except psutil.Error:
        return None
