"""Pid files of the platform's processes, by which a later run ends those that an earlier one has left.

The file also has the start of the process, as another process may have its pid by then.
"""

import contextlib
import json
import logging
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tidegate.atomic_write import write_atomically
from tidegate.core.errors import ConfigurationError
from tidegate.processes.process_start import boot_id, start_ticks
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

SUFFIX = ".pid.json"


def write(path: Path, pid: int) -> None:
    """Write the pid file of a running process. Raises OSError."""
    write_atomically(path, json.dumps({"pid": pid, "started": started(pid)}))


def started(pid: int) -> str | None:
    """The boot and the start of a process, which no other process with its pid shares.

    None when there is no such process, or only its exit status is left.
    """
    ticks = start_ticks(pid)
    return None if ticks is None else f"{boot_id()} {ticks}"


def end_left_overs(folder: Path, patience: float = 2.5, limit: float = 10.0) -> None:
    """End the processes whose pid files are still in `folder`, and remove the files.

    Their supervisor has ended, so they are ending by themselves. They get `patience` seconds for that, and are then
    killed, which may take `limit` seconds. Raises ConfigurationError when one does not end.
    """
    with contextlib.ExitStack() as stack:
        alive = {}
        for path in folder.glob(f"*{SUFFIX}"):
            if (found := _open(path)) is not None:
                pid, pidfd = found
                stack.callback(os.close, pidfd)
                alive[pidfd] = pid
        for pidfd in _outlasting(alive, patience):
            logger.warning("killing a process that an earlier run left behind", extra=fields(pid=alive[pidfd]))
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        for pidfd in _outlasting(alive, limit):
            raise ConfigurationError(
                f"The process {alive[pidfd]} of an earlier run cannot be ended. End it, then start again."
            )
    for path in folder.glob(f"*{SUFFIX}"):
        path.unlink(missing_ok=True)


def _open(path: Path) -> tuple[int, int] | None:
    """Pid and pidfd of a file's process; None where the process has ended or the file cannot be read."""
    try:
        noted = json.loads(path.read_text())
        pidfd = os.pidfd_open(noted["pid"])
    except (ValueError, KeyError, TypeError, OSError):
        return None
    # Compared after opening the pidfd, which from then on stands for one process only.
    if started(noted["pid"]) == noted.get("started") is not None:
        return noted["pid"], pidfd
    os.close(pidfd)
    return None


def _outlasting(alive: dict[int, int], seconds: float) -> Iterator[int]:
    """The pidfds of the processes that still run after `seconds`. Returns earlier where none does."""
    deadline = time.monotonic() + seconds
    waiting = set(alive)
    while waiting and (left := deadline - time.monotonic()) > 0:
        ended, _, _ = select.select(waiting, [], [], left)
        waiting.difference_update(ended)
    yield from waiting
