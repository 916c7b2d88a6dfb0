"""The time limit of what a model does, kept twice: by the kernel here, and by the agent from outside.

The kernel's timer ends the process even while native code holds the interpreter lock, and leaves in the log where it
was. A model can take the timer away, with `signal.alarm(0)` for instance. So the limit stands in shared memory too,
where the agent reads it: see `tidegate.engines.linux.replica_deadline`.
"""

import faulthandler
import mmap
import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import Iterator, List, MutableSequence, cast

from tidegate_worker.process import outlets

# The shared memory is known by this name among the process's open files. It has one double, in the machine's order:
# when the process must have come back at the latest, in seconds of CLOCK_MONOTONIC; 0 while it may take its time.
NAME = "tidegate-deadline"

_deadline: "MutableSequence[float]" = [0.0]
_mapped: List[mmap.mmap] = []


def prepare() -> None:
    """Let SIGALRM write every thread's Python stack to the log, then end the process as it does by default."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.unregister(signal.SIGALRM)
    faulthandler.register(signal.SIGALRM, file=outlets.log_descriptor(), all_threads=True, chain=True)


def publish() -> None:
    """Keep the limit in shared memory from now on. Where there is none to be had, the timer alone keeps it."""
    global _deadline
    with suppress(OSError):
        descriptor = _shared_memory()
        try:
            os.ftruncate(descriptor, 8)
            _mapped.append(mmap.mmap(descriptor, 8))  # it keeps a descriptor of its own
        finally:
            os.close(descriptor)
        _deadline = cast("MutableSequence[float]", memoryview(_mapped[-1]).cast("d"))


def withdraw() -> None:
    """In a child: its limits are not those of the process that the agent watches."""
    global _deadline
    _deadline = [0.0]


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Give the block this long; when it overruns, the process ends by SIGALRM, or soon after by the agent's hand."""
    if signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        prepare()  # a model has put its own handler there
    seconds = max(seconds, 0.001)
    _deadline[0] = time.monotonic() + seconds
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _deadline[0] = 0.0


def _shared_memory() -> int:
    """A file in memory that is in no folder; not every interpreter can make one without a folder to begin with."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(NAME)
    import tempfile

    descriptor, path = tempfile.mkstemp(prefix=NAME, dir="/dev/shm")
    os.unlink(path)  # noqa: PTH108 - a Path's import takes longer
    return descriptor
