"""A replica's deadline, read from shared memory, where `tidegate_worker.process.time_limit` writes it.

What a model does to signals, timers and the interpreter has no part in it.
"""

import contextlib
import os
import struct
from pathlib import Path

from tidegate_worker.process import time_limit

# How late a replica may come back. The worker's own timer ends it before, and leaves in the log where it was.
GRACE_SECONDS = 2.0
LOOK_SECONDS = 0.25
_WORD = struct.Struct("=d")


class Deadline:
    """Of one process. The memory is found among its open files, and held once it was found."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._memory: int | None = None

    def missed(self, now: float) -> bool:
        """Whether the process has not come back `GRACE_SECONDS` after its deadline; `now` is monotonic seconds.

        One that keeps no deadline, as before its start has come so far, misses none.
        """
        if self._memory is None:
            self._memory = _shared_memory(self._pid)
        if self._memory is None:
            return False
        word = os.pread(self._memory, _WORD.size, 0)
        return len(word) == _WORD.size and 0 < _WORD.unpack(word)[0] < now - GRACE_SECONDS

    def close(self) -> None:
        """Let go of the memory. Idempotent."""
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None


def _shared_memory(pid: int) -> int | None:
    """A descriptor of the worker's memory; None where there is none, or the process has ended. See proc(5), fd."""
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.path.basename(os.readlink(link)).startswith((time_limit.NAME, f"memfd:{time_limit.NAME}")):  # noqa: PTH115, PTH119 - it is no path
                    return os.open(link, os.O_RDONLY | os.O_CLOEXEC)
    return None
