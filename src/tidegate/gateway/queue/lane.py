"""The framed socket to one replica: groups of requests out, answers in. See `tidegate_worker.ipc.wire`."""

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

from tidegate.core.endpoint.revision import Address, ReplicaId, RevisionId
from tidegate.gateway.queue import replica_frames
from tidegate.gateway.queue.lane_owner import Answered, Owner
from tidegate.gateway.queue.overrun import Usual
from tidegate.gateway.queue.pending import Pending
from tidegate.gateway.queue.start_times import ColdStart
from tidegate.telemetry import fields
from tidegate_worker.ipc import wire
from tidegate_worker.ipc.busy_poll import BUSY_POLL_SECONDS, BusyPoll

logger = logging.getLogger(__name__)

# Between two frames of answers, so many others that were not asked for are suffered.
_MOST_UNASKED = 1000
# After so long without a request, the next one is not watched for: the caller is in no hurry either.
_BRISK_SECONDS = 0.001


class _Left(NamedTuple):
    """What was sent and taken back: the replica still owes an answer, or the request unbegun."""

    request: Pending
    group: int
    sent_at: float


class Lane(asyncio.Protocol):
    """A connection to a replica. `in_flight` has, by id, what it has been sent and has not answered.

    `usual` is what the revision's groups take, at whichever replica.
    """

    def __init__(
        self, replica: ReplicaId, revision: RevisionId, address: Address, owner: Owner["Lane"], usual: Usual
    ) -> None:
        self.replica = replica
        self.in_flight: dict[int, Pending] = {}
        self.draining = False
        self.distrusted = False  # it has sent what no replica of Tidegate sends
        self.group = 0  # requests that it takes at once
        self.start: ColdStart | None = None  # as it was told in its welcome
        self._revision, self._address, self._owner, self._usual = revision, address, owner, usual
        self._frames = wire.Frames(replica_frames.MOST_TERMS_BYTES)  # until it is welcomed
        self._welcomed = False
        self._transport: asyncio.Transport | None = None
        self._credits = 0  # groups that it takes, answered or not begun
        self._groups: dict[int, int] = {}  # group → requests of it that are still out
        self._next_group = 0
        self._exclusive = False
        self._left: dict[int, _Left] = {}  # by the id that it was sent by
        self._busy_seconds = self._busy_since = self._idle_since = self._heard_at = 0.0
        self._busy_poll = BusyPoll()  # of the time that a request by itself takes
        self._measuring: list[asyncio.Future[int]] = []
        self._measures_owed = self._unasked = 0
        self._loop = asyncio.get_running_loop()

    async def connect(self) -> None:
        """Reach the replica. Raises OSError when nobody listens there."""
        host, _, port = self._address.path.rpartition(":")
        if host and port.isdigit():
            await self._loop.create_connection(lambda: self, host, int(port))
        else:
            await self._loop.create_unix_connection(lambda: self, self._address.path)

    @property
    def free(self) -> bool:
        """Whether it may be sent a group now."""
        return self._credits > len(self._groups) and not self.draining and not self._exclusive

    @property
    def busy(self) -> bool:
        """Whether it has something to answer or to return."""
        return bool(self.in_flight or self._left)

    @property
    def owes(self) -> bool:
        """Whether something that was taken back is still there: begun, or not yet returned."""
        return bool(self._left)

    def stuck(self, now: float) -> bool:
        """Whether it is held up: it has been busy for far too long with what it was sent first."""
        return bool(self.in_flight or self._left) and self._usual.is_held_up(self._busy_for(now))

    def overruns(self, now: float) -> bool:
        """Whether what it was sent first overruns."""
        return self._usual.overruns(self._busy_for(now))

    def _busy_for(self, now: float) -> float:
        """How long it has been at one thing."""
        since = now
        if self.in_flight:
            since = next(iter(self.in_flight.values())).sent_at
        if self._left:
            since = min(since, next(iter(self._left.values())).sent_at)
        return now - max(since, self._heard_at)

    def send(self, requests: Sequence[Pending], now: float) -> None:
        """Send one group; `free` must hold. A request that must be alone needs a lane with nothing in flight."""
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
        """Keep the event loop from sleeping while all that it waits for is one answer that is due."""
        if len(self.in_flight) == 1 and time.monotonic() < until:
            os.sched_yield()  # whoever has work goes first
            self._loop.call_soon(self._watch_awake, until)

    def busy_seconds(self, now: float) -> float:
        """For how long it has had something in flight, all in all."""
        return self._busy_seconds + (now - self._busy_since if self.busy else 0.0)

    def cancel(self, request: int) -> None:
        """Say that nobody waits for this request any more."""
        if self._transport is not None:
            self._transport.write(wire.pack_ids(wire.CANCEL, (request,)))

    def take_back(self, requests: Iterable[Pending]) -> None:
        """These are asked elsewhere. An answer that comes nevertheless counts; what was not begun never will be."""
        ids = []
        for request in requests:
            del self.in_flight[request.id]
            self._left[request.id] = _Left(request, request.group, request.sent_at)
            request.lane = None
            ids.append(request.id)
        if ids and self._transport is not None:
            self._transport.write(wire.pack_ids(wire.CANCEL, ids))

    async def measure(self, seconds: float) -> int:
        """The resident bytes of the replica's process; 0 where it does not tell within so many seconds."""
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
        finally:  # what stands before nonsense is settled already
            self._unasked = 0
            self._heard_at = time.monotonic()
            if since:
                self._usual.learn(self._heard_at - since)
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
        """Frames that may come at any time do not come without end: each has the gateway look at what waits."""
        self._unasked += 1
        if self._unasked > _MOST_UNASKED:
            raise wire.WireError("it sends frames without end and answers nothing")

    def _measured(self, amount: int = 0) -> None:
        """All who have asked are told the same: it is the newest that there is."""
        for answer in self._measuring:
            if not answer.done():
                answer.set_result(amount)
        self._measuring.clear()

    def _settle(self, request: Pending) -> None:
        del self.in_flight[request.id]
        request.lane = None
        self._gone(request.group)

    def _forget(self, number: int) -> None:
        """What was taken back has been answered or returned."""
        self._gone(self._left.pop(number).group)

    def _gone(self, group: int) -> None:
        """One of a group is no longer out."""
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
