"""Has endpoints follow the registry's aliases and stages: asks where they point, and calls the verb.

A look is due when a write to the embedded registry has passed a gateway, when a user has asked for a configuration, and
after a pause. While no endpoint follows anything and no model is enabled, the registry is not asked. Before endpoints
follow, those of enabled models are aligned by the same answer.
"""

import logging

from tidegate.control.endpoints.endpoint_verbs import Endpoints
from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.registry.model_alignment import Aligned, ModelAlignment
from tidegate.control.wakeups import Wakeups
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.errors import Conflict, TidegateError
from tidegate.core.rollout.following import Pointers, followed_by
from tidegate.ports import ModelRegistry, Store
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# Pauses, seconds: after somebody else wrote the same endpoint; and while an update is under way, whose end may change
# which aliases and stages count.
_AGAIN, _BUSY = 0.25, 2.0
_ALIGNED = Aligned(None, frozenset())  # where no model is enabled
# Back-off while the registry or the store is away, seconds.
_FIRST_BACKOFF, MAX_BACKOFF = 1.0, 30.0
# How many failures in a row are not logged: at the start of the platform the registry comes up last.
_UNTOLD_FAILURES = 2


class RegistryFollower:
    """Looks at the registry. `poll_seconds` is the longest pause between two looks while the registry answers."""

    def __init__(
        self,
        store: Store,
        registry: ModelRegistry,
        endpoints: Endpoints,
        alignment: ModelAlignment,
        gateways: Gateways,
        wakeups: Wakeups,
        poll_seconds: float,
    ) -> None:
        self._store, self._registry, self._endpoints, self._gateways = store, registry, endpoints, gateways
        self._alignment, self._wakeups, self._poll_seconds = alignment, wakeups, poll_seconds
        self._failures = 0  # in a row
        self._writes: dict[int, tuple[int, int]] = {}  # of each gateway: its pid, and the writes that it has reported

    async def run_once(self) -> float | None:
        """One look. Returns the pause before the next in seconds; None while there is nothing to look at."""
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
        return min(MAX_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(self._failures - 1, 10))

    def reported(self) -> None:
        """A gateway has reported: look now where a write to the embedded registry has passed it."""
        for report in self._gateways.reports:
            pid, writes = self._writes.get(report.gateway, (0, 0))
            if report.registry_writes > (writes if pid == report.pid else 0):
                self._wakeups.ask_registry()
            self._writes[report.gateway] = report.pid, report.registry_writes
