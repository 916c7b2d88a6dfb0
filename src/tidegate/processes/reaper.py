"""The sub-reaper: orphans below this process become its children, and their exit statuses are passed on as files."""

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
    """From now on whoever loses its parent below this process becomes its child. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def reap() -> Iterator[tuple[int, int]]:
    """Pid and wait status of each child that has ended; never waits."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


def end_descendants(limit: float = 5.0) -> None:
    """Kill whatever still runs below this process; returns when it has ended, or after `limit` seconds."""
    deadline = time.monotonic() + limit
    while (left := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(left, timeout=0.05)
        collections.deque(reap(), maxlen=0)


class ExitNotes:
    """Exit statuses of orphans, for whoever knew them: the file `<pid>` holds the wait status (int, see `os.wait`)."""

    def __init__(self, folder: Path) -> None:
        """Empty the folder: a pid of an earlier run means nothing now."""
        self._folder = folder
        self._written: dict[Path, float] = {}  # oldest first
        for path in folder.iterdir():
            path.unlink()

    def write(self, pid: int, status: int, now: float) -> None:
        """Note that the orphan ended; the file appears whole. Notes of more than ten minutes ago go. Raises OSError."""
        path = self._folder / str(pid)
        write_atomically(path, str(status))
        self._written.pop(path, None)
        self._written[path] = now
        for old in [path for path, at in self._written.items() if at < now - _KEPT_SECONDS]:
            del self._written[old]
            old.unlink(missing_ok=True)
