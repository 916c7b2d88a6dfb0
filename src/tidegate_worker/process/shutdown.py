"""How a replica ends: with what its model has registered for the end, but no longer than it may take.

A fork then ends at once. To take its interpreter down would copy what it shares with its template, some 80 MB, and take
longer than its start did, while others are starting.
"""

import atexit
import gc
import io
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import NoReturn

# How long what a model left behind (threads, exit handlers) may hold up the end.
EXIT_SECONDS = 5.0


def end(code: int, *, forked: bool) -> NoReturn:
    """End the process."""
    signal.setitimer(signal.ITIMER_REAL, EXIT_SECONDS)
    if not forked:
        sys.exit(code)
    for step in (threading._shutdown, atexit._run_exitfuncs, _flush):  # type: ignore[attr-defined]  # noqa: SLF001
        with suppress(BaseException):  # a handler's own error has been printed
            step()
    os._exit(code)


def _flush() -> None:
    """Write what waits in files that were opened since the fork, texts first: they write into buffers."""
    opened = gc.get_objects()
    for kind in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom):
        for file in [each for each in opened if issubclass(type(each), kind)]:
            with suppress(Exception):  # it is closed, or nobody reads it
                file.flush()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
