"""Requests that wait while all gateways switch an endpoint to another version.

After a client has received an answer of the new version, no gateway may answer it by the old one. Therefore all
gateways first hold new requests, and then switch.
"""

import asyncio
from collections.abc import Callable

from tidegate.core.planes.route_table import RouteTable

# Control ends the hold after one second, even if a gateway has not followed. If control itself ends meanwhile, its
# successor does so. A gateway that has waited for this number of seconds goes on with the table that it has.
LONGEST_SECONDS = 2.0


class SwitchHold:
    """Holds requests, as the functions that are called when they go on."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self._expired: RouteTable | None = None  # the table whose time is over
        self._timer: asyncio.TimerHandle | None = None

    def takes(self, endpoint: str, table: RouteTable | None, go_on: Callable[[], None]) -> bool:
        """Whether a request for this endpoint is held now. `go_on` is called when the hold ends."""
        if table is None or not table.held or endpoint not in table.held or table is self._expired:
            return False
        self._waiting.append(go_on)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_SECONDS, self._expire, table)
        return True

    def release(self) -> None:
        """End the hold: there is another table."""
        waiting, self._waiting = self._waiting, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for go_on in waiting:
            go_on()

    def _expire(self, table: RouteTable) -> None:
        self._expired = table
        self.release()
