"""A replica's deadline, which its worker writes into shared memory (`tidegate_worker.process.time_limit`).

The agent enforces it from outside, whatever a model does to signals, timers and the interpreter.
"""

import contextlib
import os
import struct
from pathlib import Path

from tidegate_worker.process import time_limit

# How late a replica may be. Its own timer usually ends it before that, and logs where the model was.
GRACE_SECONDS = 2.0
LOOK_SECONDS = 0.25
_WORD = struct.Struct("=d")


class Deadline:
    """The deadline of one process. Its memory is searched for among the open files, and kept open once found."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._memory: int | None = None

    def missed(self, now: float) -> bool:
        """Whether the process is more than `GRACE_SECONDS` past its deadline; `now` is monotonic seconds.

        A process without a deadline, as at the beginning of its start, misses none.
        """
        if self._memory is None:
            self._memory = _shared_memory(self._pid)
        if self._memory is None:
            return False
        word = os.pread(self._memory, _WORD.size, 0)
        return len(word) == _WORD.size and 0 < _WORD.unpack(word)[0] < now - GRACE_SECONDS

    def close(self) -> None:
        """Close the memory. Idempotent."""
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None


def _shared_memory(pid: int) -> int | None:
    """A descriptor of the worker's memory from /proc/<pid>/fd; None where there is none, or no process."""
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.path.basename(os.readlink(link)).startswith((time_limit.NAME, f"memfd:{time_limit.NAME}")):  # noqa: PTH115, PTH119 - it is no path
                    return os.open(link, os.O_RDONLY | os.O_CLOEXEC)
    return None
