"""The end of a replica: exit handlers of the model run, for a limited time.

A fork does not finalize its interpreter. That would copy some 80 MB of memory which it shares with its template, and
take longer than the start of a replica.
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

# The longest that threads and exit handlers of the model may delay the end.
EXIT_SECONDS = 5.0


def end(code: int, *, forked: bool) -> NoReturn:
    """End the process with this exit code. `forked`: it is a fork of a template."""
    signal.setitimer(signal.ITIMER_REAL, EXIT_SECONDS)
    if not forked:
        sys.exit(code)
    for step in (threading._shutdown, atexit._run_exitfuncs, _flush):  # type: ignore[attr-defined]  # noqa: SLF001
        with suppress(BaseException):  # a handler's own error has been printed
            step()
    os._exit(code)


def _flush() -> None:
    """Flush the files that were opened since the fork; text files first, as they write into buffered ones."""
    opened = gc.get_objects()
    for kind in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom):
        for file in [each for each in opened if issubclass(type(each), kind)]:
            with suppress(Exception):  # it is closed, or its reader has gone
                file.flush()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
