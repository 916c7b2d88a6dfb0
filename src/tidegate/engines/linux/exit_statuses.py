"""Exit statuses of replicas, of this agent's children and of those that an earlier agent has started."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from tidegate.processes.reaper import reap

_POLL_SECONDS = 0.01
# The supervisor reaps an adopted replica and leaves its status in a file; the wait for that file.
_STATUS_FILE_SECONDS = 0.2


class ExitStatuses:
    """Reaps every child of this process, and keeps the wait statuses of those that are watched.

    `exits` is the folder where the supervisor leaves the wait status of each orphan that it has reaped, as `<pid>`.
    """

    def __init__(self, exits: Path) -> None:
        self._exits = exits
        self._statuses: dict[int, int | None] = {}

    def start(self) -> None:
        """Begin to reap. Needs the running loop of the main thread; not uvloop, which handles SIGCHLD itself."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def stop(self) -> None:
        """Stop reaping."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def watch(self, pid: int) -> None:
        """Keep the wait status of this process from its end until it is collected."""
        self._statuses[pid] = None

    def discard_strangers(self) -> None:
        """Remove the supervisor's files on processes that nobody watches."""
        for file in self._exits.glob("*"):
            if file.name.isdigit() and int(file.name) not in self._statuses:
                file.unlink(missing_ok=True)

    def collect(self, pid: int, started_at: float, done: Callable[[int | None], None]) -> None:
        """Call `done` with the wait status of a process that has ended, or with None where it stays unknown for 0.2 s.

        `started_at` is when the process started, unix seconds: an older status file is that of another process.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + _STATUS_FILE_SECONDS

        def look() -> None:
            self._reap()
            status = self._statuses[pid]
            if status is None:
                status = self._status_from_file(pid, started_at)
            if status is None and loop.time() < give_up_at:
                loop.call_later(_POLL_SECONDS, look)
                return
            del self._statuses[pid]
            done(status)

        look()

    def _reap(self) -> None:
        for pid, status in reap():
            if pid in self._statuses:
                self._statuses[pid] = status

    def _status_from_file(self, pid: int, started_at: float) -> int | None:
        file = self._exits / str(pid)
        try:
            current = file.stat().st_mtime >= started_at
            status = int(file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        file.unlink(missing_ok=True)
        return status if current else None
