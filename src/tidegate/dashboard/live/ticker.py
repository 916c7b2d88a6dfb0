"""A tick a second for all event streams, while there is one."""

import asyncio
import logging
import time

from tidegate.supervised import supervised

logger = logging.getLogger(__name__)


class Ticker:
    """Wakes all who wait, together, once a second. No task runs while nobody waits."""

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._next: asyncio.Future[int] | None = None
        self._task: asyncio.Task[None] | None = None
        self._tick = 0
        self.waiting = 0

    async def wait(self) -> int:
        """The number of the next tick, when it comes."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(supervised(self._run, "the dashboard's ticks"))
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        self.waiting += 1
        try:
            return await asyncio.shield(self._next)
        finally:
            self.waiting -= 1

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds - time.monotonic() % self._seconds)
            self._tick += 1
            waiting, self._next = self._next, None
            if waiting is None:
                self._task = None
                return
            waiting.set_result(self._tick)
