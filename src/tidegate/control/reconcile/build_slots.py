"""The slots in which environments are built and models are downloaded: a few at once, each for a limited time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tidegate.core.errors import BuildFailed
from tidegate.ports import Log


class BuildSlots:
    """At most `count` turns at the same time. A turn ends after `seconds`; None sets no limit.

    `what` is what a turn is for, such as "build", as sentences name it.
    """

    def __init__(self, what: str, count: int, seconds: float | None = None) -> None:
        self._what, self._seconds = what, seconds
        self._free = asyncio.Semaphore(count)
        self._running: dict[object, tuple[str, float]] = {}  # who has a turn, and since when in monotonic seconds

    @asynccontextmanager
    async def turn(self, owner: str, log: Log) -> AsyncIterator[None]:
        """Wait for a slot, and hold it. The log says whom it waits for.

        Raises BuildFailed when the time of the turn is over; what runs in it is cancelled.
        """
        if self._free.locked():
            log(f"Waiting for a free slot: {self._others()}.")
        async with self._free:
            turn = object()
            self._running[turn] = owner, time.monotonic()
            try:
                async with asyncio.timeout(self._seconds) as limit:
                    yield
            except TimeoutError:
                if not limit.expired():
                    raise
                raise BuildFailed(
                    f"The {self._what} was ended after {self._seconds:g} s. Its log shows how far it was. Mend what "
                    "takes so long, or raise environments.build_timeout_seconds; then update the endpoint."
                ) from None
            finally:
                del self._running[turn]

    def _others(self) -> str:
        now = time.monotonic()
        return ", ".join(
            f"the {self._what} of '{owner}' has been running for {now - since:.0f} s"
            for owner, since in self._running.values()
        )
