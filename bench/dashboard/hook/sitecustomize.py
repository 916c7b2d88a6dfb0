"""Imported by every Python of a platform whose PYTHONPATH has this folder: notes long callbacks of control's loop.

BENCH_LONG_CALLBACKS names the file. Each callback that took more than LEAST of its thread's processor time is a line of
it: when it ended, unix seconds; its processor time, seconds; what it was; and the part of the collector
of garbage.
"""

import asyncio
import gc
import os
import sys
import time
from asyncio.events import Handle
from pathlib import Path

LEAST = 0.005

_file = os.environ.get("BENCH_LONG_CALLBACKS")
if _file and "tidegate.app" in sys.orig_argv and "control" in sys.orig_argv:
    _run = Handle._run  # noqa: SLF001
    _path = Path(_file)

    _collecting = [0.0, 0.0]  # when the collector began, and what it has taken since the callback began, seconds

    def _collected(phase: str, _: object) -> None:
        now = time.thread_time()
        if phase == "start":
            _collecting[0] = now
        else:
            _collecting[1] += now - _collecting[0]

    gc.callbacks.append(_collected)

    def _timed(self: Handle) -> None:
        began = time.thread_time()
        _collecting[1] = 0.0
        try:
            _run(self)
        finally:
            spent = time.thread_time() - began
            if spent > LEAST:
                with _path.open("a") as lines:
                    lines.write(f"{time.time():.3f} {spent:.4f} {_what(self)}; collector {_collecting[1]:.4f} s\n")

    def _what(handle: Handle) -> str:
        callback = handle._callback  # type: ignore[attr-defined]  # noqa: SLF001
        task = getattr(callback, "__self__", None)
        if isinstance(task, asyncio.Task):
            return repr(task.get_coro())[:200]
        return repr(callback)[:200]

    Handle._run = _timed  # type: ignore[method-assign]  # noqa: SLF001
