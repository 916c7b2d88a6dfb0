"""Exit statuses of processes that are our children, were our predecessor's, or are orphans of either."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from tidegate.processes.reaper import reap

_POLL_SECONDS = 0.01
# An adopted replica is reaped by the supervisor; how long to wait for the status that it leaves in a file.
_FOREIGN_STATUS_SECONDS = 0.2


class Reaper:
    """Reaps every child of this process, and tells the statuses of those that are watched.

    `exits` is the folder where the supervisor leaves the wait status of each orphan that it reaped, as `<pid>`.
    """

    def __init__(self, exits: Path) -> None:
        self._exits = exits
        self._statuses: dict[int, int | None] = {}

    def start(self) -> None:
        """Begin to reap; needs the running loop of the main thread, and not uvloop: it keeps SIGCHLD to itself."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def stop(self) -> None:
        """No longer reap."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    def watch(self, pid: int) -> None:
        """Keep the status of this process when it ends, until it is collected."""
        self._statuses[pid] = None

    def discard_strangers(self) -> None:
        """Remove the statuses that the supervisor left of processes which nobody watches."""
        for file in self._exits.glob("*"):
            if file.name.isdigit() and int(file.name) not in self._statuses:
                file.unlink(missing_ok=True)

    def collect(self, pid: int, started_at: float, done: Callable[[int | None], None]) -> None:
        """Call `done` with the wait status of a process that has ended, or None when nobody tells it soon.

        `started_at`, in unix seconds, tells its status file from that of an earlier process with the same pid.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + _FOREIGN_STATUS_SECONDS

        def look() -> None:
            self._reap()
            status = self._statuses[pid]
            if status is None:
                status = self._foreign_status(pid, started_at)
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

    def _foreign_status(self, pid: int, started_at: float) -> int | None:
        file = self._exits / str(pid)
        try:
            current = file.stat().st_mtime >= started_at
            status = int(file.read_text())
        except (FileNotFoundError, ValueError):  # not there, or not yet written whole
            return None
        file.unlink(missing_ok=True)
        return status if current else None
