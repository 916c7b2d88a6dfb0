"""Loops that go on after an exception that nobody expected."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# The pause before a loop that failed is run again. It doubles with each failure, up to the longest one.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 1.0
# A loop that has run for this long before it failed begins again with the first pause.
_STEADY_SECONDS = 10.0


async def supervised(run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    """Await `run()`; after an exception, log it with its traceback, pause, and await `run()` again.

    The supervision ends when `run` returns, or when the task is cancelled. A cancellation that `run` raises by itself,
    such as that of a task which it awaits, is an exception like any other. `name` is what the log calls the loop.
    """
    task, pause = asyncio.current_task(), FIRST_PAUSE_SECONDS
    assert task is not None
    while True:
        began = time.monotonic()
        try:
            await run()
            return
        except (Exception, asyncio.CancelledError):
            if task.cancelling():
                raise
            logger.exception("a loop failed by a defect; it goes on", extra=fields(loop=name))
        if time.monotonic() - began >= _STEADY_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
