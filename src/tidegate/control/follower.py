"""The loop that has endpoints follow the registry's aliases and stages: it asks where they point, and calls the verb.

It looks when a write to the embedded registry has passed a gateway, when a user has asked for a configuration, and
besides every so many seconds. While no endpoint follows anything and no model is enabled, it asks nobody. Before
endpoints follow, those of enabled models are aligned with the same answer.
"""

import asyncio
import contextlib
import logging

from tidegate.control.alignment import Aligned, Alignment
from tidegate.control.endpoints import Endpoints
from tidegate.control.gateways import Gateways
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.errors import Conflict, TidegateError
from tidegate.core.rollout.following import Pointers, followed_by
from tidegate.ports import ModelRegistry, Store
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# Pauses, seconds: after a write by somebody else in between; and while an update is under way, whose end may change
# which pointers count.
_AGAIN, _BUSY = 0.25, 2.0
_ALIGNED = Aligned(None, frozenset())  # where no model is enabled
# Back-off while the registry or the store is away, seconds.
_FIRST_BACKOFF, _MAX_BACKOFF = 1.0, 30.0
# At the start of the platform the registry comes up last; that is nothing to tell.
_UNTOLD_FAILURES = 2


class Follower:
    """Follows. `poll_seconds` is the longest pause between two looks while the registry is there."""

    def __init__(
        self,
        store: Store,
        registry: ModelRegistry,
        endpoints: Endpoints,
        alignment: Alignment,
        gateways: Gateways,
        poll_seconds: float,
    ) -> None:
        self._store, self._registry, self._endpoints, self._gateways = store, registry, endpoints, gateways
        self._alignment, self._poll_seconds = alignment, poll_seconds
        self._failures = 0  # in a row
        self._writes: dict[int, tuple[int, int]] = {}  # of each gateway: its pid, and the writes that it has reported
        self._woken = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        gateways.on_report.append(self._reported)
        endpoints.on_asked = self.nudge

    async def start(self) -> None:
        """Begin."""
        self._loop = asyncio.create_task(self._run(), name="follower")

    async def stop(self) -> None:
        """End; what serves goes on."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait({self._loop})

    def nudge(self) -> None:
        """Something may have moved: look now."""
        self._woken.set()

    async def run_once(self) -> float | None:
        """One look. Returns after how many seconds the next is due; None while there is nothing to look at."""
        try:
            pause = await self._look()
        except TidegateError as error:
            return self._failed(error)
        if self._failures > _UNTOLD_FAILURES:
            logger.info("aliases and stages are followed again")
        self._failures = 0
        return pause

    # ---

    async def _look(self) -> float | None:
        # Read before the registry is asked: what a user asks for meanwhile is newer than its answer.
        endpoints = await self._store.endpoints()
        enabled = await self._alignment.models(endpoints)
        watched = [e for e in endpoints if followed_by(e) or e.lost]
        if not watched and not enabled:
            return None
        names = enabled | {ref.name for endpoint in watched for ref in followed_by(endpoint)}
        pointers = await self._registry.pointers(names, enabled) if names else {}
        aligned = await self._alignment.align(enabled, pointers) if enabled else _ALIGNED
        pauses = [await self._follow(endpoint, pointers) for endpoint in watched if endpoint.id not in aligned.stay]
        return min([self._poll_seconds, *([] if aligned.pause is None else [aligned.pause]), *pauses])

    async def _follow(self, endpoint: Endpoint, pointers: Pointers) -> float:
        try:
            followed = await self._endpoints.follow(endpoint, pointers)
        except Conflict:
            return _AGAIN
        except TidegateError as error:
            logger.warning("an endpoint cannot follow: %s", error.message, extra=fields(endpoint=endpoint.name))
            return _BUSY
        settled = followed is endpoint and endpoint.pending is None
        return self._poll_seconds if settled else min(_BUSY, self._poll_seconds)

    def _failed(self, error: TidegateError) -> float:
        self._failures += 1
        if self._failures == _UNTOLD_FAILURES + 1:
            logger.warning("aliases and stages are not followed now: %s", error.message)
        return min(_MAX_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(self._failures - 1, 10))

    def _reported(self) -> None:
        for report in self._gateways.reports:
            pid, writes = self._writes.get(report.gateway, (0, 0))
            if report.registry_writes > (writes if pid == report.pid else 0):
                self.nudge()
            self._writes[report.gateway] = report.pid, report.registry_writes

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                pause = await self.run_once()
            except Exception:
                logger.exception("a look at aliases and stages failed")
                pause = _MAX_BACKOFF
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()
