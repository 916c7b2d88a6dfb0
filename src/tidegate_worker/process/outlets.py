"""Where a replica writes: its log and its status pipe, on descriptors of its own.

A model may close or replace the standard streams and their descriptors, file descriptor 3 too; what it left closed is
opened again before a socket can take its number, for native code prints there.
"""

import fcntl
import os
import stat
import sys
from contextlib import suppress
from typing import Optional

STATUS_FD = 3
# Above what code that closes "all" descriptors usually goes to, and below the usual limit of 1024.
_LOWEST_FD = 600

_log: Optional[int] = None
_status: Optional[int] = None


def keep(*, status: bool) -> None:
    """Take descriptors of the log, which standard error is, and of the status pipe, if there is one."""
    global _log, _status
    for descriptor in (_log, _status):
        if descriptor is not None:
            os.close(descriptor)
    _log = _status = None
    _log = _taken(2)
    _status = _taken(STATUS_FD) if status and _is_pipe(STATUS_FD) else None


def leave_status() -> None:
    """In a child: who reads the status pipe must see its end when the replica ends."""
    global _status
    if _status is not None:
        for descriptor in (_status, STATUS_FD):
            with suppress(OSError):
                os.close(descriptor)
    _status = None


def log_descriptor() -> int:
    """The log's."""
    return 2 if _log is None else _log


def write_log(text: str) -> None:
    """Append to the log; what cannot be written is lost."""
    if _log is None:
        sys.stderr.write(text)
        sys.stderr.flush()
        return
    with suppress(OSError):
        os.write(_log, text.encode("utf-8", "backslashreplace"))


def write_status(line: bytes) -> None:
    """Write a line into the status pipe, if there is one; what nobody can read is lost."""
    if _status is not None:
        with suppress(OSError):  # the engine that made the pipe has ended, or the model has closed it
            os.write(_status, line)


def prepare_streams() -> None:
    """Let what the model prints come line by line. A stream that imports of a template have closed is made anew."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            opened = open(descriptor, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, opened)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")


def mend() -> None:
    """Open the standard descriptors that are closed: no socket may get their numbers."""
    for descriptor in (0, 1, 2):
        if not _is_open(descriptor):
            _open(descriptor)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _open(descriptor: int) -> None:
    source = os.open(os.devnull, os.O_RDWR)
    if source != descriptor:
        os.dup2(source, descriptor)
        os.close(source)
    else:
        os.set_inheritable(descriptor, True)
    if descriptor and _log is not None:
        with suppress(OSError):
            os.dup2(_log, descriptor)


def out_of_the_way(descriptor: int) -> int:
    """Another number for a descriptor, which code that closes "all" of them usually leaves alone."""
    taken = _taken(descriptor)
    if taken is None:
        return descriptor
    os.close(descriptor)
    return taken


def _taken(descriptor: int) -> Optional[int]:
    for lowest in (_LOWEST_FD, 10):
        with suppress(OSError):  # it is closed, or so high a number is not allowed here
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
    return None


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
