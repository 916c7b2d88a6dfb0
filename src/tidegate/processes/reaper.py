"""The sub-reaper: orphans below this process become its children, and their exit statuses go into files."""

import collections
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tidegate.atomic_write import write_atomically

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_KEPT_SECONDS = 600.0


def become_subreaper() -> None:
    """Make this process the parent of every process below it that loses its own. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def reap() -> Iterator[tuple[int, int]]:
    """Pid and wait status of each child that has ended. It does not wait."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


def end_descendants(limit: float = 5.0) -> None:
    """Kill all processes below this one. Returns when they have ended, or after `limit` seconds."""
    deadline = time.monotonic() + limit
    while (left := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(left, timeout=0.05)
        collections.deque(reap(), maxlen=0)


class ExitStatusFiles:
    """Files with the wait statuses of orphans, for the agent that started them:

    `<pid>` has an integer (see `os.wait`).
    """

    def __init__(self, folder: Path) -> None:
        """Empty the folder, as the pids of an earlier run mean other processes now."""
        self._folder = folder
        self._written: dict[Path, float] = {}  # oldest first
        for path in folder.iterdir():
            path.unlink()

    def write(self, pid: int, status: int, now: float) -> None:
        """Write the file of an orphan that has ended, and remove those older than 10 min. Raises OSError."""
        path = self._folder / str(pid)
        write_atomically(path, str(status))
        self._written.pop(path, None)
        self._written[path] = now
        for old in [path for path, at in self._written.items() if at < now - _KEPT_SECONDS]:
            del self._written[old]
            old.unlink(missing_ok=True)
