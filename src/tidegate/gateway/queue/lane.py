"""The connection to one replica: groups of requests go out, answers come in. See `tidegate_worker.ipc.wire`.

The file has over 300 lines, as each request and each answer works on all of a connection's state.
"""

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple, cast

from tidegate.core.endpoint.revision import Address, ReplicaId, RevisionId
from tidegate.gateway.queue import replica_frames
from tidegate.gateway.queue.lane_owner import Answered, Owner
from tidegate.gateway.queue.overrun import UsualTime
from tidegate.gateway.queue.pending import Pending
from tidegate.gateway.queue.start_times import ColdStart
from tidegate.telemetry import fields
from tidegate_worker.ipc import wire
from tidegate_worker.ipc.busy_poll import BUSY_POLL_SECONDS, BusyPoll

logger = logging.getLogger(__name__)

# A replica may send this many frames that were not asked for between two frames of answers.
_MOST_UNASKED = 1000
# A replica has answered, or was ended, this long after a request's deadline at the latest.
OVERDUE_SECONDS = 60.0
# The gateway polls for an answer only if the request came within this time after the last one. A slower caller gains
# nothing from it.
_BRISK_SECONDS = 0.001


class _Left(NamedTuple):
    """A request that was sent and taken back. The replica still owes its answer, or its return."""

    request: Pending
    group: int
    sent_at: float


class Lane(asyncio.Protocol):
    """A connection to a replica. `in_flight` has the requests that were sent and not taken back, by id.

    `usual_time` is that of the revision's groups, at all replicas.
    """

    def __init__(
        self, replica: ReplicaId, revision: RevisionId, address: Address, owner: Owner["Lane"], usual_time: UsualTime
    ) -> None:
        self.replica = replica
        self.in_flight: dict[int, Pending] = {}
        self.draining = False
        self.distrusted = False  # it has sent what no replica of Tidegate sends
        self.group = 0  # the most requests in a group
        self.start: ColdStart | None = None  # as its WELCOME says
        self._revision, self._address, self._owner, self._usual_time = revision, address, owner, usual_time
        self._frames = wire.Frames(replica_frames.MOST_TERMS_BYTES)  # until it is welcomed
        self._welcomed = False
        self._transport: asyncio.Transport | None = None
        self._credits = 0  # the most groups that it may have
        self._groups: dict[int, int] = {}  # group → its requests that are neither answered nor returned
        self._next_group = 0
        self._exclusive = False  # it has a request that must be alone
        self._left: dict[int, _Left] = {}  # by the id that the replica knows
        self._busy_seconds = self._busy_since = self._idle_since = self._heard_at = 0.0
        self._busy_poll = BusyPoll()  # of the time that a single request takes
        self._measuring: list[asyncio.Future[int]] = []
        self._measures_owed = self._unasked = 0
        self._loop = asyncio.get_running_loop()

    async def connect(self) -> None:
        """Connect to the replica. Raises OSError when it does not listen."""
        host, _, port = self._address.path.rpartition(":")
        if host and port.isdigit():
            await self._loop.create_connection(lambda: self, host, int(port))
        else:
            await self._loop.create_unix_connection(lambda: self, self._address.path)

    @property
    def free(self) -> bool:
        """Whether the replica takes a group now."""
        return self._credits > len(self._groups) and not self.draining and not self._exclusive

    @property
    def busy(self) -> bool:
        """Whether the replica has requests to answer or to return."""
        return bool(self.in_flight or self._left)

    @property
    def owes(self) -> bool:
        """Whether the replica still has requests that were taken back."""
        return bool(self._left)

    def stuck(self, now: float) -> bool:
        """Whether the replica is held up: its first group takes far longer than usual."""
        return bool(self.in_flight or self._left) and self._usual_time.is_held_up(self._busy_for(now))

    def overruns(self, now: float) -> bool:
        """Whether the first group takes so long that its requests are sent elsewhere."""
        return self._usual_time.overruns(self._busy_for(now))

    def is_overdue(self, now: float) -> bool:
        """Whether the replica has left its first request without an answer for far longer than any request may take."""
        oldest = [*islice(self.in_flight.values(), 1), *(left.request for left in islice(self._left.values(), 1))]
        return any(now > request.deadline + OVERDUE_SECONDS for request in oldest)

    def give_up(self) -> None:
        """End the connection, and make it again: its answers do not come any more."""
        self._distrust(wire.WireError(f"a request had no answer {OVERDUE_SECONDS:g} s after its deadline"))

    def _busy_for(self, now: float) -> float:
        """The seconds since it was sent its first group, or since its last answer."""
        since = now
        if self.in_flight:
            since = next(iter(self.in_flight.values())).sent_at
        if self._left:
            since = min(since, next(iter(self._left.values())).sent_at)
        return now - max(since, self._heard_at)

    def send(self, requests: Sequence[Pending], now: float) -> None:
        """Send one group; `free` must be true. A request that must be alone needs a lane with nothing in flight."""
        assert self._transport is not None
        self._next_group += 1
        self._groups[self._next_group] = len(requests)
        self._exclusive = requests[0].alone
        if not self.in_flight and not self._left:
            self._busy_since = now
        packed = []
        for request in requests:
            request.lane, request.group, request.sent_at = self, self._next_group, now
            self.in_flight[request.id] = request
            millis = max(1, int((request.deadline - now) * 1000))
            flags = wire.ALONE if request.alone else 0
            packed.append(wire.Request(request.id, millis, flags, request.meta, request.body))
        self._transport.write(wire.pack_requests(packed))
        if len(self.in_flight) == 1 and self._busy_poll.watches and now - self._idle_since < _BRISK_SECONDS:
            self._watch_awake(now + BUSY_POLL_SECONDS)

    def _watch_awake(self, until: float) -> None:
        """Keep the event loop awake until the one answer comes that it waits for, or until `until`."""
        if len(self.in_flight) == 1 and time.monotonic() < until:
            os.sched_yield()  # a process that has work runs first
            self._loop.call_soon(self._watch_awake, until)

    def busy_seconds(self, now: float) -> float:
        """The seconds in which the replica has had requests, in total."""
        return self._busy_seconds + (now - self._busy_since if self.busy else 0.0)

    def cancel(self, request: int) -> None:
        """Tell the replica that the caller of this request has gone."""
        if self._transport is not None:
            self._transport.write(wire.pack_ids(wire.CANCEL, (request,)))

    def take_back(self, requests: Iterable[Pending]) -> None:
        """Take back requests that are sent elsewhere. The replica does not begin them; an answer still counts."""
        ids = []
        for request in requests:
            del self.in_flight[request.id]
            self._left[request.id] = _Left(request, request.group, request.sent_at)
            request.lane = None
            ids.append(request.id)
        if ids and self._transport is not None:
            self._transport.write(wire.pack_ids(wire.CANCEL, ids))

    async def measure(self, seconds: float) -> int:
        """The resident bytes of the replica's process; 0 where it does not tell within `seconds`."""
        if self._transport is None:
            return 0
        answer: asyncio.Future[int] = self._loop.create_future()
        self._measuring.append(answer)
        self._measures_owed += 1
        self._transport.write(wire.frame(wire.MEASURE))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await answer
        return 0

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        hello = {"protocol": wire.PROTOCOL, "revision": self._revision, "secret": self._address.secret}
        self._transport.write(wire.frame(wire.HELLO, json.dumps(hello).encode()))

    def data_received(self, data: bytes) -> None:
        try:
            for kind, payload in self._frames.feed(data):
                self._received(kind, payload)
        except wire.WireError as error:
            self._distrust(error)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._measured(0)
        self._owner.lost(self)

    def _distrust(self, error: wire.WireError) -> None:
        """End the connection: no replica of Tidegate sends this."""
        self.distrusted = True
        logger.warning(
            "a replica does not speak the protocol; its connection is ended, and made again",
            extra=fields(revision=self._revision, replica=self.replica, why=error),
        )
        if self._transport is not None:
            self._transport.abort()  # `close` would wait for a peer that may not read

    def _received(self, kind: int, payload: memoryview) -> None:
        if kind == wire.ANSWERS:
            self._take_answers(payload)
        elif kind == wire.RETURNED:
            self._take_returned(payload)
        elif not self._welcomed:
            self._take_welcome(kind, payload)
        elif kind == wire.CREDITS:
            self._count_unasked()
            self._agree(replica_frames.terms(payload))
        elif kind == wire.MEASURED and self._measures_owed:
            self._measures_owed -= 1
            self._measured(replica_frames.resident_bytes(payload))
        elif kind == wire.DRAINING and not self.draining and not payload:
            self.draining = True
        else:
            raise wire.WireError(f"a frame of the type {kind} was not due")
        if self.draining and not self.busy:
            self.close()  # a replica that drains ends as soon as nobody is connected to it

    def _take_welcome(self, kind: int, payload: memoryview) -> None:
        if kind != wire.WELCOME:
            raise wire.WireError("its first frame is no WELCOME")
        terms, self.start = replica_frames.welcome(payload)
        self._welcomed, self._frames.max_bytes = True, wire.MAX_FRAME_BYTES
        self._agree(terms)

    def _agree(self, terms: replica_frames.Terms) -> None:
        self._credits, self.group = terms.credits, terms.group
        self._owner.connected(self)

    def _take_answers(self, payload: memoryview) -> None:
        answered: Answered = []
        since = 0.0
        answers = wire.unpack_answers(payload, most=len(self.in_flight) + len(self._left))
        if not answers:
            raise wire.WireError("a frame has no answers")
        try:
            for answer in answers:
                replica_frames.check_answer(answer)
                request = self.in_flight.get(answer.id)
                if request is not None:
                    since = since or request.sent_at
                    self._settle(request)
                    answered.append((request, answer))
                elif (left := self._left.get(answer.id)) is not None:
                    since = since or left.sent_at
                    self._forget(answer.id)
                    if self._owner.overtakes(left.request):
                        answered.append((left.request, answer))
                else:
                    raise wire.WireError("an answer is to no request")
        finally:  # the answers before a wrong one are settled already
            self._unasked = 0
            self._heard_at = time.monotonic()
            if since:
                self._usual_time.learn(self._heard_at - since)
            self._owner.answered(self, answered)

    def _take_returned(self, payload: memoryview) -> None:
        ids = wire.unpack_ids(payload)
        if not ids or len(ids) > len(self.in_flight) + len(self._left):
            raise wire.WireError("no requests are returned, or more than were sent")
        self._count_unasked()
        returned: list[Pending] = []
        try:
            for number in ids:
                request = self.in_flight.get(number)
                if request is not None:
                    self._settle(request)
                    returned.append(request)
                elif number in self._left:
                    self._forget(number)
                else:
                    raise wire.WireError("a request is returned that was not sent")
        finally:
            self._owner.returned(self, returned)

    def _count_unasked(self) -> None:
        """Limit the frames that may come at any time: for each one, the gateway looks at all that waits."""
        self._unasked += 1
        if self._unasked > _MOST_UNASKED:
            raise wire.WireError("it sends frames without end and answers nothing")

    def _measured(self, amount: int = 0) -> None:
        """Give the newest measurement to all that wait for one."""
        for answer in self._measuring:
            if not answer.done():
                answer.set_result(amount)
        self._measuring.clear()

    def _settle(self, request: Pending) -> None:
        del self.in_flight[request.id]
        request.lane = None
        self._gone(request.group)

    def _forget(self, number: int) -> None:
        """A request that was taken back has been answered or returned."""
        self._gone(self._left.pop(number).group)

    def _gone(self, group: int) -> None:
        """The replica has one request of this group less."""
        left = self._groups[group] - 1
        if left:
            self._groups[group] = left
        else:
            del self._groups[group]
        if not self.in_flight and not self._left:
            self._exclusive = False
            self._idle_since = time.monotonic()
            busy = self._idle_since - self._busy_since
            self._busy_seconds += busy
            self._busy_poll.learn(busy)
