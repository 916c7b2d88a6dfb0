"""Replays of recorded requests on the revision that is to serve next. Control orders them by the route table.

Replayed requests go through the queue as real ones do, with credits, batches and reruns, but no account counts them.
A new table begins the replays that it orders, unless they were done, and drops those that it does not order.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from tidegate.core.planes.route_table import RouteTable
from tidegate.core.rollout.replay import Findings, Replay
from tidegate.gateway.queue.router import Router
from tidegate.gateway.replay.recordings import Recordings
from tidegate.gateway.replay.replay_run import ReplayRun
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)


class Replays:
    """Carries out all ordered replays at once. `on_found` is called when one is done."""

    def __init__(self, router: Router, recordings: Recordings, on_found: Callable[[], None]) -> None:
        self._router, self._recordings, self._on_found = router, recordings, on_found
        self._running: dict[str, asyncio.Task[None]] = {}
        self._findings: dict[str, Findings] = {}

    @property
    def findings(self) -> Mapping[str, Findings]:
        """The findings of the replays that are ordered now."""
        return dict(self._findings)

    def follow(self, table: RouteTable) -> None:
        """Carry out what this table orders. The router must follow the table already."""
        self._recordings.keep({name: route.record for name, route in table.endpoints.items()})
        ordered = {replay.id: replay for replay in table.replays}
        for identity in self._running.keys() - ordered.keys():
            self._running.pop(identity).cancel()
        for identity in self._findings.keys() - ordered.keys():
            del self._findings[identity]
        for identity in ordered.keys() - self._running.keys():
            self._running[identity] = asyncio.create_task(self._run(ordered[identity]), name=f"replay {identity}")

    async def stop(self) -> None:
        """Drop all replays."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _run(self, replay: Replay) -> None:
        try:
            findings = await self._carry_out(replay)
        except Exception:
            logger.exception("a replay failed by a defect", extra=fields(endpoint=replay.endpoint))
            sentence = "The replay failed by a defect of Tidegate; see the gateway's log."
            findings = Findings(replay.id, unavailable=sentence)
        told = fields(endpoint=replay.endpoint, requests=findings.requests, seconds=round(findings.seconds, 3))
        logger.info("replayed", extra=told)
        self._findings[replay.id] = findings
        self._on_found()

    async def _carry_out(self, replay: Replay) -> Findings:
        run = ReplayRun(replay, self._router, self._recordings.newest(replay.endpoint))
        try:
            return await run.run()
        finally:
            run.drop()
