"""Loops and tasks whose unexpected exceptions are logged and end nothing else."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Self

from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# The pause before a loop that failed is run again. It doubles with each failure, up to the longest one.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 1.0
# A loop that has run for this long before it failed begins again with the first pause.
_STEADY_SECONDS = 10.0


def cancelled_from_outside() -> bool:
    """Whether somebody has cancelled the task that runs. Without that, a CancelledError in it is a defect."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def supervised(run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    """Await `run()`; after an exception, log it with its traceback, pause, and await `run()` again.

    The supervision ends when `run` returns, or when the task is cancelled. A cancellation that `run` raises by itself,
    such as that of a task which it awaits, is an exception like any other. `name` is what the log calls the loop.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        began = time.monotonic()
        try:
            await run()
            return
        except (Exception, asyncio.CancelledError):
            if cancelled_from_outside():
                raise
            logger.exception("a loop failed by a defect; it goes on", extra=fields(loop=name))
        if time.monotonic() - began >= _STEADY_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


class Defects:
    """Exceptions of single steps of a loop, raised together at the end of the block: no step keeps others from theirs.

    `what` is the message of the ExceptionGroup.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._errors: list[Exception] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None and self._errors:
            raise ExceptionGroup(self._what, self._errors)

    @contextlib.contextmanager
    def collected(self) -> Iterator[None]:
        """Keep an exception of the block until the end."""
        try:
            yield
        except Exception as error:
            self._errors.append(error)


async def attempted(work: Coroutine[Any, Any, None], name: str) -> None:
    """Await `work` once; an exception is logged with its traceback, and is the end of this work only.

    For a task whose failure must not end its siblings in a task group. `name` is what the log calls the work.
    """
    try:
        await work
    except (Exception, asyncio.CancelledError):
        if cancelled_from_outside():
            raise
        logger.exception("a task failed by a defect", extra=fields(task=name))
