"""A loop that outlives what goes wrong in it."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from tidegate.core.errors import TidegateError
from tidegate.supervised import cancelled_from_outside

logger = logging.getLogger(__name__)

Step = Callable[[], Awaitable[float | None]]


class SupervisedLoop:
    """Calls `step` until it is stopped. A step returns the pause before the next one in seconds; None has no end.

    `woken` ends a pause. A step that raises is logged, and the next one comes after `after_failure` seconds. A step
    that is cancelled from within, by a task or a library of its own, counts as one that raises.
    """

    def __init__(self, name: str, step: Step, after_failure: float, woken: asyncio.Event | None = None) -> None:
        self._name, self._step, self._after_failure = name, step, after_failure
        self._woken = woken or asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with the first step."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Cancel the step under way, and wait until it has ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            pause = await self._try()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _try(self) -> float | None:
        try:
            return await self._step()
        except TidegateError as error:
            logger.warning("%s failed: %s", self._name, error.message)
        except (Exception, asyncio.CancelledError):
            if cancelled_from_outside():
                raise
            logger.exception("%s failed", self._name)
        return self._after_failure
