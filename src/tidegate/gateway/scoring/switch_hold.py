"""Requests that wait for the next route table: several gateways are about to switch their endpoint, and do so at once.

A request that is sent after an answer of the new version was received must not be answered by the old one, whichever
gateway it reaches. So all gateways first hold what comes, then switch.
"""

import asyncio
from collections.abc import Callable

from tidegate.core.planes.route_table import RouteTable

# Control goes on after a second whether all have followed or not. If it ends in between, its successor does; where that
# takes longer than this, each gateway goes on by the table that it has.
LONGEST_SECONDS = 2.0


class SwitchHold:
    """Holds requests. Each is what to call when it goes on."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self._expired: RouteTable | None = None  # the table whose time is over
        self._timer: asyncio.TimerHandle | None = None

    def takes(self, endpoint: str, table: RouteTable | None, go_on: Callable[[], None]) -> bool:
        """Whether a request for this endpoint is held; `go_on` is called when it may."""
        if table is None or not table.held or endpoint not in table.held or table is self._expired:
            return False
        self._waiting.append(go_on)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_SECONDS, self._expire, table)
        return True

    def release(self) -> None:
        """There is another table."""
        waiting, self._waiting = self._waiting, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for go_on in waiting:
            go_on()

    def _expire(self, table: RouteTable) -> None:
        self._expired = table
        self.release()
