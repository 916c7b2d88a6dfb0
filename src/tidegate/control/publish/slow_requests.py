"""Asks all gateways for an endpoint's slowest requests and newest errors. They keep them; control keeps none."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tidegate.core.planes.noted_requests import NotedRequests, together
from tidegate.json_lines import Unreadable, connect, decode
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# A gateway that has not answered after this many seconds is left out.
PATIENCE_SECONDS = 1.0
# An answer has 40 requests, of less than 2 kB each.
_MAX_LINE_BYTES = 1024 * 1024


class SlowRequests:
    """Asks the gateways that listen at these sockets."""

    def __init__(self, sockets: Sequence[Path]) -> None:
        self._sockets = sockets
        self._decoder = msgspec.json.Decoder(NotedRequests)

    async def of(self, endpoint: str) -> NotedRequests:
        """The slowest requests of the last 15 minutes, and the newest errors, over all gateways that answer.

        There are none for an unknown endpoint. A gateway that was restarted has forgotten those before.
        """
        return together(await asyncio.gather(*(self._ask(socket, endpoint) for socket in self._sockets)))

    async def _ask(self, socket: Path, endpoint: str) -> NotedRequests:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                lines = await connect(socket, _MAX_LINE_BYTES)
                try:
                    lines.send(endpoint)
                    answer = await lines.line()
                    return NotedRequests() if answer is None else decode(answer, self._decoder)
                finally:
                    lines.close()
        except (OSError, TimeoutError, Unreadable) as error:
            logger.info("a gateway was not asked for slow requests", extra=fields(socket=socket.name, error=error))
            return NotedRequests()
