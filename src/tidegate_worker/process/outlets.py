"""The outlets of a replica: its log and its status pipe, on descriptors of its own.

A model may close or replace file descriptors 0 to 3. So the replica writes to duplicates with high numbers. Descriptors
0 to 2 are opened again if the model leaves them closed: otherwise a socket could get such a number, and native code
would print into it.
"""

import fcntl
import os
import stat
import sys
from contextlib import suppress
from typing import Optional

STATUS_FD = 3
# Code that closes "all" descriptors usually stops below this number; the usual limit is 1024.
_LOWEST_FD = 600

_log: Optional[int] = None
_status: Optional[int] = None


def claim(*, status: bool) -> None:
    """Duplicate the log, which is standard error, and with `status` the status pipe, if there is one."""
    global _log, _status
    for descriptor in (_log, _status):
        if descriptor is not None:
            os.close(descriptor)
    _log = _status = None
    _log = _duplicated_high(2)
    _status = _duplicated_high(STATUS_FD) if status and _is_pipe(STATUS_FD) else None


def close_status() -> None:
    """Close the status pipe in a child: its reader must see the end when the replica ends, and not the child."""
    global _status
    if _status is not None:
        for descriptor in (_status, STATUS_FD):
            with suppress(OSError):
                os.close(descriptor)
    _status = None


def log_descriptor() -> int:
    """The log's file descriptor."""
    return 2 if _log is None else _log


def write_log(text: str) -> None:
    """Append to the log. A text that cannot be written is lost."""
    if _log is None:
        sys.stderr.write(text)
        sys.stderr.flush()
        return
    with suppress(OSError):
        os.write(_log, text.encode("utf-8", "backslashreplace"))


def write_status(line: bytes) -> None:
    """Write a line into the status pipe, if there is one. A line without a reader is lost."""
    if _status is not None:
        with suppress(OSError):  # the engine that made the pipe has ended, or the model has closed it
            os.write(_status, line)


def prepare_streams() -> None:
    """Flush the standard streams after each line. A stream that an import in a template has closed is opened again."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None or getattr(stream, "closed", False):
            opened = open(descriptor, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, opened)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")


def reopen_closed() -> None:
    """Open file descriptors 0 to 2 again if they are closed: no socket may get their numbers."""
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


def moved_high(descriptor: int) -> int:
    """The descriptor under a high number, where code that closes "all" descriptors usually leaves it alone."""
    duplicate = _duplicated_high(descriptor)
    if duplicate is None:
        return descriptor
    os.close(descriptor)
    return duplicate


def _duplicated_high(descriptor: int) -> Optional[int]:
    for lowest in (_LOWEST_FD, 10):
        with suppress(OSError):  # it is closed, or the limit of open files is lower
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
    return None


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
