"""One lane for each endpoint: its actions run one after another, those of different endpoints at the same time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from tidegate.control.wakeups import Wakeups
from tidegate.supervised import cancelled_from_outside

logger = logging.getLogger(__name__)

Work = Callable[[], Awaitable[bool]]
"""The actions of one endpoint. Returns whether the store was written."""

# How long a pass waits for lanes, seconds. Most actions take milliseconds; those that wait for gateways, for the engine
# or for a cancelled build may take 1 to 10 s.
_PATIENCE = 0.25


class EndpointLanes:
    """Runs the work of endpoints. A lane that outlasts its pass goes on, and wakes the reconciler when it ends.

    `busy` has the owners of lanes that have not ended. No pass may act on them: its snapshot is older than what their
    lanes have done.
    """

    def __init__(self, wakeups: Wakeups) -> None:
        self._wakeups = wakeups
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._written = False  # whether a lane has written to the store since the pass began

    @property
    def busy(self) -> frozenset[str]:
        """The owners of the lanes that have not ended."""
        return frozenset(self._lanes)

    async def run(self, work: Mapping[str, Work]) -> bool:
        """Begin the work of each owner, and wait _PATIENCE seconds for it. Returns whether the store was written."""
        self._written = False
        begun = [self._begin(owner, one) for owner, one in work.items() if owner not in self._lanes]
        if begun:
            ended, _ = await asyncio.wait(begun, timeout=_PATIENCE)
            for lane in ended:
                lane.result()
        return self._written

    async def stop(self) -> None:
        """Cancel all work, and wait until it has ended."""
        lanes = tuple(self._lanes.values())
        for lane in lanes:
            lane.cancel()
        if lanes:
            await asyncio.wait(lanes)

    def _begin(self, owner: str, work: Work) -> asyncio.Task[None]:
        self._lanes[owner] = asyncio.create_task(self._run(owner, work), name=f"reconcile {owner}")
        return self._lanes[owner]

    async def _run(self, owner: str, work: Work) -> None:
        try:
            written = await work()
        except (Exception, asyncio.CancelledError):
            if cancelled_from_outside():
                raise
            logger.exception("the actions of an endpoint failed")
            written = True  # what they have done is not known: look
        finally:
            del self._lanes[owner]
        if written:
            self._written = True
            self._wakeups.changed()
