"""The newest route table, and a queue for each revision: from an endpoint's name to the queue of its requests.

The table is saved to disk, so that a restarted gateway scores at once, even without control.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from tidegate.atomic_write import write_atomically
from tidegate.core.endpoint.legacy_face import Face, key_of
from tidegate.core.endpoint.revision import RevisionAddresses, RevisionId
from tidegate.core.errors import BadRequest, NotFound, TidegateError, Unavailable
from tidegate.core.planes import route_table
from tidegate.core.planes.load_report import RevisionLoad
from tidegate.core.planes.route_table import EndpointRoute, RouteTable
from tidegate.gateway.links.agent_link import AgentLink
from tidegate.gateway.queue import legacy_urls
from tidegate.gateway.queue.revision_queue import RevisionQueue
from tidegate.settings import GatewaySettings
from tidegate.supervised import supervised
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 0.05
# The shortest time between two calls of `on_wait`, of all queues together.
ALARM_SECONDS = 0.1
USE_SECONDS = 1.0


class Router:
    """Routes requests by the newest table. `table` is None before the first one."""

    def __init__(self, saved: Path, settings: GatewaySettings, *, only_gateway: bool = True) -> None:
        self._saved, self._settings, self._only_gateway = saved, settings, only_gateway
        self._queues: dict[RevisionId, RevisionQueue] = {}
        self._active: set[RevisionId] = set()  # those with requests, which are swept
        self._used: set[RevisionId] = set()  # requested since the agents were last told
        self._resting: dict[RevisionId, RevisionLoad] = {}  # the load of those that had no request since
        self._unrouted: set[RevisionId] = set()  # without a route, and not empty yet
        self._agents: dict[str, AgentLink] = {}
        self._stirred = asyncio.Event()  # set when there is something to sweep
        self._sweeper: asyncio.Task[None] | None = None
        self._alarmed_at = float("-inf")
        self.table: RouteTable | None = None
        self.on_wait: Callable[[], None] = lambda: None  # called when a request has waited long

    def start(self) -> None:
        """Follow the saved table, and begin to sweep."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            self._adopt(msgspec.json.decode(self._saved.read_bytes(), type=RouteTable))
        self._sweeper = asyncio.create_task(supervised(self._sweep, "sweep of the queues"))

    async def stop(self) -> None:
        """Close the connections to agents and replicas."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        for queue in self._queues.values():
            queue.close()
        for agent in self._agents.values():
            await agent.stop()

    def follow(self, table: RouteTable) -> None:
        """Use this table from now on."""
        if self.table is not None and table.version == self.table.version:
            return
        self._adopt(table)
        logger.info("route table followed", extra=fields(version=table.version, endpoints=len(table.endpoints)))
        try:
            write_atomically(self._saved, msgspec.json.encode(table))
        except OSError as error:  # a full disk must not stop routing
            logger.warning("the route table could not be saved", extra=fields(error=str(error)))

    def endpoint(self, name: str) -> EndpointRoute:
        """The endpoint of that name. Raises NotFound and Unavailable."""
        route = self.table.endpoints.get(name) if self.table is not None else None
        if route is None:
            if self.table is None:
                raise _starting()
            raise NotFound(f"There is no endpoint '{name[:63]}'. GET /api/2.0/serving-endpoints lists those there are.")
        return route

    def face(self, face: Face, asked: str) -> EndpointRoute:
        """The route of a model's stage or version under an older product. Raises NotFound and Unavailable."""
        keys = self.table.faces.get(face.id) if self.table is not None else None
        route = keys.get(key_of(asked)) if keys is not None else None
        if route is None:
            if self.table is None:
                raise _starting()
            raise legacy_urls.not_served(face, asked, keys or ())
        return route

    def queue(self, endpoint: EndpointRoute, served: str | None = None) -> RevisionQueue:
        """The queue for a request to this endpoint, or to one served entity of it. Raises when nothing serves."""
        if served is not None:
            revision = endpoint.served.get(served)
            if revision is None and endpoint.served:
                raise NotFound(f"Endpoint '{endpoint.name}' serves {', '.join(endpoint.served)}; not '{served[:63]}'.")
        elif len(endpoint.weights) == 1:
            revision = endpoint.weights[0][0]
        else:
            revision = route_table.pick(endpoint, random.random())  # noqa: S311 - a traffic split, not a secret
        queue = self._queues.get(revision) if revision is not None else None
        if queue is None:
            raise _nothing_serves(endpoint)
        if queue.route.revision not in self._active:
            self._stir(queue)
        return queue

    def queue_of(self, revision: RevisionId) -> RevisionQueue | None:
        """The queue of a revision, whether a route leads there or not; None for an unknown one."""
        queue = self._queues.get(revision)
        if queue is not None:
            self._stir(queue)
        return queue

    def _stir(self, queue: RevisionQueue) -> None:
        """Sweep this queue from now on: it is about to get a request."""
        self._active.add(queue.route.revision)
        self._used.add(queue.route.revision)
        self._stirred.set()
        queue.rested(time.monotonic())

    def loads(self) -> Mapping[RevisionId, RevisionLoad]:
        """The load of each revision."""
        now = time.monotonic()
        for revision in self._queues.keys() - self._resting.keys() - self._active:
            self._resting[revision] = self._queues[revision].load(now)
        return self._resting | {revision: self._queues[revision].load(now) for revision in self._active}

    def _adopt(self, table: RouteTable) -> None:
        for revision, route in table.revisions.items():
            queue = self._queues.get(revision)
            if queue is None:
                agent = self._agent(route.agent)
                queue = RevisionQueue(route, agent, self._settings, only_gateway=self._only_gateway)
                self._queues[revision] = queue
                agent.watch(revision)
            queue.route = route
        self._unrouted = self._queues.keys() - table.revisions.keys()
        self.table = table  # last: a table that could not be adopted whole is adopted again when it is sent again
        self._stirred.set()

    def _agent(self, socket: str) -> AgentLink:
        agent = self._agents.get(socket)
        if agent is None:
            agent = self._agents[socket] = AgentLink(Path(socket), self._located)
            agent.start()
        return agent

    def _located(self, addresses: RevisionAddresses) -> None:
        queue = self._queues.get(addresses.revision)
        if queue is not None:
            queue.located(addresses)

    async def _sweep(self) -> None:
        told_at = 0.0
        while True:
            await self._rest()
            now = time.monotonic()
            if now - told_at >= USE_SECONDS:
                told_at = now
                self._tell_use()
            if self._sweep_queues(now) and now - self._alarmed_at >= ALARM_SECONDS:
                self._alarmed_at = now
                self.on_wait()

    def _sweep_queues(self, now: float) -> bool:
        """Sweep all queues that may hold something; whether control should hear of one of them at once.

        A queue whose sweep raises does not keep the others from theirs: the exception is raised when all are done.
        """
        alarming, defects = False, list[Exception]()
        for revision in self._active | self._unrouted:
            try:
                alarming |= self._sweep_queue(revision, self._queues[revision], now)
            except Exception as defect:
                defects.append(defect)
        if defects:
            raise defects[0]
        return alarming

    def _sweep_queue(self, revision: RevisionId, queue: RevisionQueue, now: float) -> bool:
        queue.sweep(now)
        if queue.idle:
            self._active.discard(revision)
            self._resting.pop(revision, None)
        alarming = queue.alarming(now)
        if revision in self._unrouted:
            self._retire(revision, queue)
        return alarming

    async def _rest(self) -> None:
        """Wait for the next sweep. With nothing to sweep and nothing to tell agents, wait for the next request."""
        if not (self._active or self._unrouted or self._used):
            self._stirred.clear()
            await self._stirred.wait()
        await asyncio.sleep(SWEEP_SECONDS)

    def _tell_use(self) -> None:
        """Tell the agents which revisions are in use."""
        used: defaultdict[str, list[RevisionId]] = defaultdict(list)
        for revision in self._used | self._active:
            if revision in self._queues:
                used[self._queues[revision].route.agent].append(revision)
        self._used.clear()
        for socket, revisions in used.items():
            self._agent(socket).used(revisions)

    def _retire(self, revision: RevisionId, queue: RevisionQueue) -> None:
        """Remove an empty queue without a route. If the revision is gone, its requests move to other queues first."""
        if not queue.known:
            self._move_on(queue)
        if queue.idle:
            del self._queues[revision]
            self._active.discard(revision)
            self._resting.pop(revision, None)
            self._unrouted.discard(revision)
            queue.close()
            self._agent(queue.route.agent).unwatch(revision)

    def _move_on(self, queue: RevisionQueue) -> None:
        now = time.monotonic()
        for request in queue.take_waiting():
            try:
                request.find_queue().submit(request, now)
            except TidegateError as error:
                request.failed(error)


def _starting() -> Unavailable:
    return Unavailable("The platform is starting. Try again in a moment.", retry_after=1)


def _nothing_serves(endpoint: EndpointRoute) -> TidegateError:
    sentence = endpoint.unavailable or f"Endpoint '{endpoint.name}' serves nothing."
    return BadRequest(sentence) if endpoint.failed else Unavailable(sentence, retry_after=2)
