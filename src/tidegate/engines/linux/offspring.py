"""Ends the processes that a replica's model has started, when their replica ends. They inherit a mark from it.

Such a process may lead a session of its own, lose its parent, and change its name, folder, environment and program. It
keeps its resource limits. So the mark is a resource limit that limits nothing: the CPU time in microseconds for which a
process of a real-time class may run without a pause (RLIMIT_RTTIME, getrlimit(2)). It is set to some 146,000 years plus
the replica's id.
"""

import contextlib
import logging
import os
import re
import resource
import select
import signal
import time
from collections.abc import Collection, Iterator

from tidegate.core.endpoint.revision import ReplicaId
from tidegate.telemetry import fields

_log = logging.getLogger(__name__)

_BASE = 1 << 62
_LIMIT = re.compile(rb"^Max realtime timeout +(\d+)", re.MULTILINE)  # proc_pid_limits(5)
_END_SECONDS = 1.0  # for the kernel to end killed processes


def mark(pid: int, replica: ReplicaId) -> None:
    """Mark a process, and with it all that it will start, as the replica's. A failure is logged."""
    limit = _mark_of(replica)
    try:
        resource.prlimit(pid, resource.RLIMIT_RTTIME, (limit, limit))
    except ProcessLookupError:
        pass
    except (OSError, ValueError) as error:  # ValueError: a lower limit is set, which only root may raise
        _log.warning("processes of a model may outlive its replica", extra=fields(replica=replica, error=error))


def end(replicas: Collection[ReplicaId]) -> None:
    """Kill every process with the mark of one of these replicas. Returns when all have ended, or after 1 s. Blocks."""
    marks, deadline = {_mark_of(replica) for replica in replicas}, time.monotonic() + _END_SECONDS
    while time.monotonic() < deadline:
        with contextlib.ExitStack() as opened:
            found = list(_marked(marks, opened))
            for _, pidfd in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            for _, pidfd in found:
                select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))
        if not found:  # a process that started during the search is found by the next one
            return
    _log.error("processes of a model do not end", extra=fields(pids=[pid for pid, _ in found]))


def _marked(marks: Collection[int], opened: contextlib.ExitStack) -> Iterator[tuple[int, int]]:
    """Pid and pidfd of each running process with one of the marks. `opened` closes the pidfds."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - names, not paths
        if name.isdigit() and _mark_on(name) in marks:
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(int(name))
                opened.callback(os.close, pidfd)
                # Read again, as from here on the pidfd stands for one process only. That of a zombie is readable.
                if _mark_on(name) in marks and not select.select([pidfd], [], [], 0)[0]:
                    yield int(name), pidfd


def _mark_of(replica: ReplicaId) -> int:
    return _BASE | int(replica, 16)


def _mark_on(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/limits", "rb") as limits:  # noqa: PTH123 - a Path costs as much as the read
            found = _LIMIT.search(limits.read())
    except OSError:
        return None
    return int(found[1]) if found else None
