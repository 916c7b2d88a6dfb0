"""One pull queue per revision: wake and hold at zero, credits, deadlines, back-pressure, rerun on replica death.

Replicas give credits, and waiting requests go to whoever has one: there is no queue behind a busy replica, and new
capacity takes waiting work at once. A sweep some 20 times a second sees to deadlines and to callers that went away, so
that a request costs no timer. Times are those of time.monotonic: uvloop keeps its own in whole milliseconds.
"""

import asyncio
import time
from collections import deque
from typing import Protocol

from tidegate.core.errors import DeadlineExceeded, ModelCrashed, TidegateError, TooManyRequests, Unavailable
from tidegate.core.load import RevisionLoad
from tidegate.core.revision import Address, ReplicaId, RevisionAddresses, RevisionId
from tidegate.core.traffic import RevisionRoute
from tidegate.gateway.transport import Lane
from tidegate.settings import GatewaySettings
from tidegate_worker import wire

RECONNECT_SECONDS = 0.1
WAKE_AGAIN_SECONDS = 1.0
# A replica that died so near to a request's deadline was ended because of it.
DEADLINE_SLACK_SECONDS = 0.2


class Caller(Protocol):
    """The client's connection, as far as a queue cares."""

    @property
    def disconnected(self) -> bool:
        """Whether the client has gone."""
        ...


class ClientGone(Exception):
    """The caller went away before its answer came."""


class Pending:
    """A request that waits for its answer. `deadline` is monotonic time; `route` is of the queue that holds it."""

    __slots__ = (
        "alone", "body", "caller", "crashes", "deadline", "future", "id", "lane", "meta", "queued_at", "route",
        "sent_at",
    )  # fmt: skip

    def __init__(
        self, body: bytes, meta: bytes, deadline: float, future: "asyncio.Future[wire.Answer]", caller: Caller | None
    ) -> None:
        self.id = 0
        self.route: RevisionRoute | None = None
        self.body, self.meta, self.deadline, self.future, self.caller = body, meta, deadline, future, caller
        self.alone = False
        self.crashes = 0  # deaths of a replica at which it was alone in flight
        self.lane: Lane | None = None
        self.queued_at = self.sent_at = 0.0


class Waker(Protocol):
    """Who wakes revisions: the connection to the engine's agent."""

    def wake(self, revision: RevisionId) -> None:
        """Make sure that a replica is ready or starting, and tell the queue of its addresses."""
        ...


class RevisionQueue:
    """The requests of one revision in this gateway, waiting and under way."""

    def __init__(self, route: RevisionRoute, waker: Waker, settings: GatewaySettings) -> None:
        self.route = route
        self._waker, self._settings = waker, settings
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Pending] = deque()
        self._waiting_bytes = 0
        self._sent: dict[int, Pending] = {}
        self._lanes: dict[ReplicaId, Lane] = {}
        self._wanted: dict[ReplicaId, Address] = {}
        self._drained: set[ReplicaId] = set()
        self._connecting: dict[ReplicaId, asyncio.Task[None]] = {}
        self._next_id = 0
        self._pump_scheduled = False
        self._woken_at = float("-inf")
        self._message = ""
        self._closed = False
        self.known = True
        self._busy_seconds = 0.0
        self._reruns = 0

    # callers

    def submit(self, pending: Pending) -> None:
        """Take a request in. Raises TooManyRequests when the queue is full."""
        if (
            len(self._waiting) >= self._settings.max_queued_requests
            or self._waiting_bytes + len(pending.body) > self._settings.max_queued_bytes
        ):
            raise TooManyRequests(
                f"Too many requests wait for '{self.route.served_entity}'. Try again later, "
                "or give the served entity a larger workload_size.",
                retry_after=1,
            )
        self._next_id += 1
        pending.id, pending.route = self._next_id, self.route
        pending.queued_at = time.monotonic()
        self._waiting.append(pending)
        self._waiting_bytes += len(pending.body)
        if not self._lanes:
            self._wake(pending.queued_at)
        self._schedule_pump()

    def sweep(self, now: float) -> None:
        """See to deadlines, to callers that have gone, and to a wake that was not heard. Level-triggered."""
        if self._waiting:
            if any(_over(pending, now) for pending in self._waiting):
                self._sweep_waiting(now)
            if not self._lanes and now - self._woken_at >= WAKE_AGAIN_SECONDS:
                self._wake(now)
        for pending in self._sent.values():
            if not pending.future.done() and _over(pending, now):
                self._give_up(pending)

    def take_waiting(self) -> list[Pending]:
        """Hand over all that waits here, to wait elsewhere: nothing leads to this revision any more."""
        taken = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        return taken

    @property
    def idle(self) -> bool:
        """Whether nothing waits or is under way."""
        return not self._waiting and not self._sent

    def load(self, now: float) -> RevisionLoad:
        """What is under way, for control."""
        return RevisionLoad(
            in_flight=len(self._sent),
            queued=len(self._waiting),
            oldest_wait_seconds=now - self._waiting[0].queued_at if self._waiting else 0.0,
            busy_seconds=self._busy_seconds,
            reruns=self._reruns,
        )

    def close(self) -> None:
        """Let go of all connections."""
        self._closed = True
        for task in self._connecting.values():
            task.cancel()
        for lane in list(self._lanes.values()):
            lane.close()

    # the agent

    def located(self, addresses: RevisionAddresses) -> None:
        """Hear which replicas are ready: connect to new ones; those that are gone end their connections themselves."""
        self.known, self._message = addresses.known, addresses.message
        told = dict(addresses.replicas)
        self._drained &= told.keys()  # the agent may not have heard yet that a replica drains
        self._wanted = {replica: address for replica, address in told.items() if replica not in self._drained}
        for replica in self._wanted:
            if replica not in self._lanes:
                self._connect(replica)

    def _wake(self, now: float) -> None:
        self._woken_at = now
        self._waker.wake(self.route.revision)

    def _connect(self, replica: ReplicaId) -> None:
        if not self._closed:
            lane = self._lanes[replica] = Lane(replica, self.route.revision, self._wanted[replica], self)
            self._connecting[replica] = self._loop.create_task(self._reach(lane))

    async def _reach(self, lane: Lane) -> None:
        """Connect, for as long as the replica is said to be there."""
        try:
            while lane.replica in self._wanted:
                try:
                    await lane.connect()
                    return
                except OSError:
                    await asyncio.sleep(RECONNECT_SECONDS)
            del self._lanes[lane.replica]
        finally:
            del self._connecting[lane.replica]

    # replicas: the Owner of lanes

    def connected(self, _lane: Lane) -> None:
        self._schedule_pump()

    def answered(self, _lane: Lane, answers: list[wire.Answer]) -> None:
        now = time.monotonic()
        for answer in answers:
            pending = self._sent.pop(answer.id, None)
            if pending is not None:
                self._busy_seconds += now - pending.sent_at
                if not pending.future.done():
                    pending.future.set_result(answer)
        if self._waiting:
            self._pump()

    def returned(self, _lane: Lane, ids: list[int]) -> None:
        self._requeue([pending for number in ids if (pending := self._sent.pop(number, None)) is not None])

    def lost(self, lane: Lane) -> None:
        del self._lanes[lane.replica]
        if lane.draining:
            self._drained.add(lane.replica)
        elif lane.replica in self._wanted:
            self._connect(lane.replica)
        held = [pending for number in lane.in_flight if (pending := self._sent.pop(number, None)) is not None]
        self._rerun(held, was_alone=len(lane.in_flight) == 1)

    # inside

    def _schedule_pump(self) -> None:
        # Requests of one turn of the event loop travel together.
        if not self._pump_scheduled:
            self._pump_scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Send what waits to the replicas that have credit, the least busy first."""
        self._pump_scheduled = False
        if not self._waiting:
            return
        free = [lane for lane in self._lanes.values() if lane.free]
        free.sort(key=lambda lane: len(lane.in_flight))
        now = time.monotonic()
        while self._waiting and free:
            for lane in free:
                if not self._waiting:
                    break
                self._send_group(lane, now)
            free = [lane for lane in free if lane.free]

    def _send_group(self, lane: Lane, now: float) -> None:
        group: list[wire.Request] = []
        size = 0
        while self._waiting and len(group) < lane.group:
            pending = self._waiting[0]
            alone = pending.alone or size + len(pending.body) > wire.MAX_GROUP_BYTES
            if group and alone:
                break
            self._waiting.popleft()
            self._waiting_bytes -= len(pending.body)
            size += len(pending.body)
            pending.lane, pending.sent_at = lane, now
            self._sent[pending.id] = pending
            millis = max(1, int((pending.deadline - now) * 1000))
            flags = wire.ALONE if pending.alone else 0
            group.append(wire.Request(pending.id, millis, flags, pending.meta, pending.body))
            if alone:
                break
        lane.send(group)

    def _requeue(self, held: list[Pending]) -> None:
        """Put requests back to the front of the queue, in their order."""
        for pending in reversed(held):
            pending.lane = None
            if not pending.future.done():
                self._waiting.appendleft(pending)
                self._waiting_bytes += len(pending.body)
        if self._waiting:
            if not self._lanes:
                self._wake(time.monotonic())
            self._schedule_pump()

    def _rerun(self, held: list[Pending], *, was_alone: bool) -> None:
        """Run again, alone, what was in flight when a replica died; give up what killed it twice by itself."""
        again: list[Pending] = []
        now = time.monotonic()
        for pending in held:
            if pending.future.done():
                continue
            if was_alone:
                pending.crashes += 1
            error = self._crash_error(pending, now)
            if error is not None:
                pending.future.set_exception(error)
                continue
            pending.alone = True
            self._reruns += 1
            again.append(pending)
        self._requeue(again)

    def _crash_error(self, pending: Pending, now: float) -> TidegateError | None:
        if now >= pending.deadline - DEADLINE_SLACK_SECONDS:
            return _too_slow(self.route)
        if not self.route.retry_on_crash:
            return ModelCrashed(
                "The model's process ended while it predicted this request, and retry_on_crash is off. "
                "See the endpoint's logs."
            )
        if pending.crashes >= 2:
            return ModelCrashed("This request ended the model's process twice. See the endpoint's logs.")
        return None

    def _sweep_waiting(self, now: float) -> None:
        kept: deque[Pending] = deque()
        for pending in self._waiting:
            if pending.future.done():
                continue
            if _over(pending, now):
                self._give_up(pending)
            else:
                kept.append(pending)
        self._waiting = kept
        self._waiting_bytes = sum(len(pending.body) for pending in kept)

    def _give_up(self, pending: Pending) -> None:
        if pending.caller is not None and pending.caller.disconnected:
            pending.future.set_exception(ClientGone())
        elif pending.lane is not None:
            pending.future.set_exception(_too_slow(self.route))
        else:
            pending.future.set_exception(self._not_begun())
        if pending.lane is not None:
            pending.lane.cancel(pending.id)

    def _not_begun(self) -> Unavailable:
        absent = self._message or "no replica was ready in time"
        why = "all its replicas were busy" if self._lanes else absent
        return Unavailable(f"'{self.route.served_entity}' could not begin this request: {why}.", retry_after=2)


def _over(pending: Pending, now: float) -> bool:
    return now >= pending.deadline or (pending.caller is not None and pending.caller.disconnected)


def _too_slow(route: RevisionRoute) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"The model '{route.served_entity}' did not answer within {route.timeout_seconds:g} s. "
        "Send fewer rows at once, or see the endpoint's logs for where it was."
    )
