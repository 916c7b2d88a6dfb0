"""The time limit of a model's code. It is kept twice: by the kernel's timer, and by the agent from outside.

The timer ends the process even while native code holds the interpreter lock, and the log then has the Python stacks. A
model can remove the timer, for instance with `signal.alarm(0)`. So the limit is also in shared memory, where the agent
reads it (`tidegate.engines.linux.replica_deadline`).
"""

import faulthandler
import mmap
import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import Iterator, List, MutableSequence, cast

from tidegate_worker.process import outlets

# The shared memory has this name among the process's open files. It holds one double in the machine's byte order: the
# deadline in seconds of CLOCK_MONOTONIC, or 0 while there is none.
NAME = "tidegate-deadline"

_deadline: "MutableSequence[float]" = [0.0]
_mapped: List[mmap.mmap] = []


def prepare() -> None:
    """Let SIGALRM write the Python stack of each thread to the log, and then end the process."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.unregister(signal.SIGALRM)
    faulthandler.register(signal.SIGALRM, file=outlets.log_descriptor(), all_threads=True, chain=True)


def publish() -> None:
    """Keep the limit in shared memory from now on. Without shared memory the timer alone keeps it."""
    global _deadline
    with suppress(OSError):
        descriptor = _shared_memory()
        try:
            os.ftruncate(descriptor, 8)
            _mapped.append(mmap.mmap(descriptor, 8))  # a mapping keeps a descriptor of its own
        finally:
            os.close(descriptor)
        _deadline = cast("MutableSequence[float]", memoryview(_mapped[-1]).cast("d"))


def stop_publishing() -> None:
    """Keep the limit out of shared memory: in a child, as the agent watches its parent."""
    global _deadline
    _deadline = [0.0]


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Give the block this many seconds. If it overruns, SIGALRM ends the process, or else the agent does soon after."""
    if signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        prepare()  # the model has set a handler of its own
    seconds = max(seconds, 0.001)
    _deadline[0] = time.monotonic() + seconds
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _deadline[0] = 0.0


def _shared_memory() -> int:
    """A file in memory that is in no directory.

    Interpreters without memfd_create make one in /dev/shm and unlink it.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create(NAME)
    import tempfile

    descriptor, path = tempfile.mkstemp(prefix=NAME, dir="/dev/shm")
    os.unlink(path)  # noqa: PTH108 - a Path's import takes longer
    return descriptor
