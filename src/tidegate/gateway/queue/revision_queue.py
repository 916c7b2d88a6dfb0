"""The queue of one revision's requests: credits, deadlines, refusals, reruns, and the wait for a first replica.

Replicas grant credits, and a waiting request goes to a replica with a credit. No request waits at a busy replica, and a
new replica gets waiting requests at once. A sweep 20 times a second checks deadlines, so that no request needs a timer.
Times are seconds of time.monotonic, as uvloop's own clock has whole milliseconds only.

A request that was in flight when its replica died runs again, alone, on a replica without other requests of this
gateway. A replica that takes far longer than usual gets no more requests. Those that it has not begun, and those of a
batch that overruns, are sent to other replicas too, and the first answer counts. Only a deadline ends a replica.

The file has over 300 lines, as all of this decides on the same state of the same requests.
"""

import asyncio
import time
from collections.abc import Collection, Iterable
from operator import attrgetter

from tidegate.core.endpoint.revision import Address, ReplicaId, RevisionAddresses
from tidegate.core.errors import TidegateError, Unavailable
from tidegate.core.planes.load_report import RevisionLoad
from tidegate.core.planes.route_table import RevisionRoute
from tidegate.gateway.queue import cold_start, dispatch, overrun, refusals
from tidegate.gateway.queue.backlog import Backlog
from tidegate.gateway.queue.lane import Lane
from tidegate.gateway.queue.lane_owner import Answered
from tidegate.gateway.queue.overrun import UsualTime
from tidegate.gateway.queue.pending import Pending
from tidegate.gateway.queue.replica_connections import ReplicaConnections
from tidegate.gateway.queue.throughput import Throughput
from tidegate.gateway.queue.waker import Waker
from tidegate.settings import GatewaySettings

WAKE_AGAIN_SECONDS = 1.0
# A replica that died within this time before a request's deadline was ended by that deadline.
DEADLINE_SLACK_SECONDS = 0.2


class RevisionQueue:
    """The requests of one revision in this gateway, waiting and under way."""

    def __init__(
        self, route: RevisionRoute, waker: Waker, settings: GatewaySettings, *, only_gateway: bool = True
    ) -> None:
        self.route, self._only_gateway = route, only_gateway
        self._waker, self._settings = waker, settings
        self._loop = asyncio.get_running_loop()
        self._waiting = Backlog()
        self._next_deadline = float("inf")  # no request has an earlier one
        self._connections = ReplicaConnections(self._make_lane)
        self._lanes = self._connections.lanes
        self._serving: set[Lane] = set()  # lanes with a WELCOME
        self._next_id = 0
        self._pump_scheduled = False
        self._woken_at = float("-inf")
        self._message = ""
        self.known = True
        self._throughput, self._usual_time = Throughput(), UsualTime()
        self._busy_before = 0.0  # busy seconds of replicas that are gone
        self._reruns = 0
        self._came = 0
        self._request_seconds, self._counted_at = 0.0, time.monotonic()
        self._stuck_told = 0

    # callers

    def submit(self, request: Pending, now: float) -> None:
        """Take a request in. Raises TooManyRequests for a full queue, Unavailable where its turn comes too late."""
        if not self._serving:
            request.deadline = max(request.deadline, request.latest)
        if self._waiting.count:
            self._refuse_what_waits_in_vain(request, now)
        self._next_id += 1
        request.id = request.turn = self._next_id
        request.queue, request.route, request.queued_at = self, self.route, now
        self._came += 1
        self._put(request)
        if not self._lanes:
            self._wake(now)
        self._schedule_pump()

    def cancel(self, request: Pending) -> None:
        """Remove a request: its caller has gone."""
        if not request.done:
            self._drop(request)

    def sweep(self, now: float) -> None:
        """Fail what is over its deadline, relieve slow replicas, and repeat a wake that was not heard."""
        self._count(now)
        if now >= self._next_deadline:
            self._sweep_deadlines(now)
        if self.route.retry_on_crash:  # a request that must not run twice waits
            self._relieve(now)
        for lane in [lane for lane in self._serving if lane.is_overdue(now)]:
            lane.give_up()
        self._waiting.tidy()
        if self._waiting.count and not self._lanes and now - self._woken_at >= WAKE_AGAIN_SECONDS:
            self._wake(now)

    def rested(self, now: float) -> None:
        """The queue was empty and not swept until now: leave that time out of `request_seconds`."""
        self._counted_at = now

    def alarming(self, now: float) -> bool:
        """Whether control should hear at once how long requests wait here."""
        stuck = self._stuck(now)
        self._stuck_told = min(self._stuck_told, stuck)
        if stuck > self._stuck_told and self._waiting.count:
            self._stuck_told = stuck
            return True
        return self._waiting.alarming(now)

    def take_waiting(self) -> list[Pending]:
        """Remove and return all waiting requests, to wait in another queue: no route leads here any more."""
        return self._waiting.take_all()

    @property
    def idle(self) -> bool:
        """Whether no request waits or is under way."""
        return not self._waiting.count and not any(lane.busy for lane in self._lanes.values())

    @property
    def lanes(self) -> Collection[Lane]:
        """The connections to replicas that predict."""
        return self._serving

    def load(self, now: float) -> RevisionLoad:
        """The load of this revision in this gateway, for control."""
        self._count(now)
        return RevisionLoad(
            in_flight=self._in_flight,
            queued=self._waiting.count,
            oldest_wait_seconds=now - self._waiting.oldest(now),
            busy_seconds=self._busy_before + sum(lane.busy_seconds(now) for lane in self._lanes.values()),
            reruns=self._reruns,
            requests=self._came,
            request_seconds=self._request_seconds,
            group=max((lane.group for lane in self._lanes.values()), default=1),
            stuck=self._stuck(now),
        )

    @property
    def _in_flight(self) -> int:
        return sum(len(lane.in_flight) for lane in self._lanes.values())

    def _stuck(self, now: float) -> int:
        return sum(lane.stuck(now) for lane in self._lanes.values())

    def _count(self, now: float) -> None:
        """Add up the time that requests spend here, by a sample at each sweep: no request has to count itself."""
        if self._lanes or self._waiting.count:
            self._request_seconds += (now - self._counted_at) * (self._waiting.count + self._in_flight)
        self._counted_at = now

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    # the agent

    def located(self, addresses: RevisionAddresses) -> None:
        """Hear which replicas are ready."""
        self.known, self._message = addresses.known, addresses.message
        self._connections.follow(addresses)

    def _wake(self, now: float) -> None:
        self._woken_at = now
        self._waker.wake(self.route.revision)

    def _make_lane(self, replica: ReplicaId, address: Address) -> Lane:
        return Lane(replica, self.route.revision, address, self, self._usual_time)

    # replicas: the Owner of lanes

    def connected(self, lane: Lane) -> None:
        if not self._serving:
            cold_start.begin(self._waiting, lane.start, self.route.timeout_seconds, time.monotonic())
            self._next_deadline = 0.0  # unknown until the next sweep
        self._serving.add(lane)
        self._throughput.reset()
        self._schedule_pump()

    def answered(self, _lane: Lane, answered: Answered) -> None:
        now = time.monotonic()
        for request, answer in answered:
            if not request.done:
                request.done = True
                request.answered(answer)
        if self._waiting.count:
            self._pump()
        if self._waiting.count or self._throughput.measuring:
            self._throughput.ended(len(answered), now, others_wait=self._waiting.count > 0)

    def overtakes(self, request: Pending) -> bool:
        if request.done or request.queue is not self:
            return False
        self._let_go(request)
        return True

    def returned(self, _lane: Lane, requests: list[Pending]) -> None:
        self._put_back(requests)

    def lost(self, lane: Lane) -> None:
        now = time.monotonic()
        held = list(lane.in_flight.values())
        self._busy_before += lane.busy_seconds(now)
        self._throughput.reset()
        self._serving.discard(lane)
        if not self._serving:
            cold_start.hold(self._waiting)
        self._connections.lost(lane)
        for request in held:
            request.lane = None
        by_itself = len(held) == 1 and not lane.owes
        self._rerun(held, now, by_itself=by_itself)

    # what waits

    def _put(self, request: Pending, *, first: bool = False) -> None:
        if request.deadline < self._next_deadline:
            self._next_deadline = request.deadline
        self._waiting.put(request, first=first)

    def _put_back(self, requests: Iterable[Pending]) -> None:
        """Put requests back to their places in the queue."""
        for request in sorted(requests, key=attrgetter("turn"), reverse=True):
            if not request.done:
                self._put(request, first=True)
        if self._waiting.count:
            if not self._lanes:
                self._wake(time.monotonic())
            self._schedule_pump()

    def _drop(self, request: Pending) -> None:
        request.done = True
        self._let_go(request)
        request.body = b""

    def _let_go(self, request: Pending) -> None:
        """Remove a request from where it is: from the queue, or by a CANCEL from its replica."""
        if request.lane is None:
            self._waiting.forget(request)
        else:
            request.lane.cancel(request.id)

    def _relieve(self, now: float) -> None:
        """Take requests back from replicas that are held up, for others to answer."""
        for lane in self._serving:
            if lane.in_flight and lane.stuck(now):
                moved = overrun.moved(
                    lane.in_flight.values(), overruns=lane.overruns(now), others_batch_along=self._batches_along(lane)
                )
                again = [*moved.singly, *moved.behind]
                lane.take_back(again)
                for request in again:
                    self._next_id += 1
                    request.id, request.moved = self._next_id, True  # a new id, as two answers may come
                for request in moved.singly:
                    request.alone = True
                self._put_back(again)

    def _batches_along(self, lane: Lane) -> bool:
        """Whether a replica may predict other requests together with those in flight there."""
        return lane.group > 1 and (lane.owes or not self._only_gateway)

    # sending

    def _schedule_pump(self) -> None:
        # The requests of one turn of the event loop are sent together.
        if not self._pump_scheduled:
            self._pump_scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Send waiting requests to the replicas that have credit and are not held up."""
        self._pump_scheduled = False
        if not self._waiting.count:
            return
        now = time.monotonic()
        lanes = [lane for lane in self._lanes.values() if lane.free and not lane.stuck(now)]
        dispatch.send(self._waiting, lanes, now)

    # refusals, deadlines, deaths

    def _refuse_what_waits_in_vain(self, request: Pending, now: float) -> None:
        wait = self._throughput.seconds(self._waiting.count)
        full = self._waiting.count >= self._settings.max_queued_requests
        if full or self._waiting.bytes + len(request.body) > self._settings.max_queued_bytes:
            raise refusals.too_many(self.route, wait)
        late = now + wait - request.deadline
        if late > 0:
            raise refusals.in_vain(self.route, self._waiting.count, wait, late)

    def _sweep_deadlines(self, now: float) -> None:
        self._next_deadline = float("inf")
        held = [*self._waiting, *(r for lane in self._lanes.values() for r in lane.in_flight.values())]
        for request in held:
            if request.done:
                continue
            if now >= request.deadline:
                begun = request.begun
                self._drop(request)
                request.failed(refusals.too_slow(self.route) if begun else self._not_begun())
            else:
                self._next_deadline = min(self._next_deadline, request.deadline)

    def _rerun(self, held: list[Pending], now: float, *, by_itself: bool) -> None:
        """Run requests again, alone, whose replica died. Fail one that has ended two replicas by itself."""
        again: list[Pending] = []
        for request in held:
            if request.done:
                continue
            error = self._crash_error(request, now, crashed=by_itself)
            if error is not None:
                request.done = True
                request.failed(error)
                continue
            self._reruns += 1
            request.alone = True  # until it is answered
            again.append(request)
        self._put_back(again)

    def _crash_error(self, request: Pending, now: float, *, crashed: bool) -> TidegateError | None:
        request.crashes += crashed
        if now >= request.deadline - DEADLINE_SLACK_SECONDS:
            return refusals.too_slow(self.route)
        if not self.route.retry_on_crash:
            return refusals.no_rerun()
        return refusals.crashed_twice() if request.crashes >= 2 else None

    def _not_begun(self) -> Unavailable:
        absent = self._message or "no replica was ready in time"
        return refusals.not_begun(self.route, "all its replicas were busy" if self._lanes else absent)
