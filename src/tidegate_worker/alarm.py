"""The time limit that the kernel keeps: it ends the process even while native code holds the interpreter lock."""

import faulthandler
import signal
from contextlib import contextmanager
from typing import Iterator

from tidegate_worker import outlets


def prepare() -> None:
    """Let SIGALRM write every thread's Python stack to the log, then end the process as it does by default."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.unregister(signal.SIGALRM)
    faulthandler.register(signal.SIGALRM, file=outlets.log_descriptor(), all_threads=True, chain=True)


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Give the block this long; when it overruns, the process ends by SIGALRM."""
    if signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        prepare()  # a model has put its own handler there
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
