"""The framed socket to one replica: groups of requests out, answers in. See `tidegate_worker.wire`."""

import asyncio
import contextlib
import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from typing import Protocol, cast

from tidegate.core.revision import Address, ReplicaId, RevisionId
from tidegate.gateway.cold import ColdStart
from tidegate.gateway.pending import Pending
from tidegate_worker import wire
from tidegate_worker.alertness import WATCH_SECONDS, Alertness

# After so long without a request, the next one is not watched for: the caller is in no hurry either.
_BRISK_SECONDS = 0.001
# A replica is stuck on what takes so long, seconds, and so many times what its requests usually take.
STUCK_SECONDS, STUCK_TIMES = 0.1, 10

Answered = list[tuple[Pending, wire.Answer]]


class Owner(Protocol):
    """Who uses a connection, and hears of what happens on it."""

    def connected(self, _lane: "Lane") -> None:
        """The replica has welcomed us, or changed what it takes: it may be sent requests."""
        ...

    def answered(self, _lane: "Lane", answered: Answered) -> None:
        """Answers have come."""
        ...

    def returned(self, _lane: "Lane", requests: list[Pending]) -> None:
        """Requests come back that were not begun."""
        ...

    def lost(self, lane: "Lane") -> None:
        """The connection has ended; what it held was in flight."""
        ...


class Lane(asyncio.Protocol):
    """A connection to a replica. `in_flight` has, by id, what it has been sent and has not answered."""

    def __init__(self, replica: ReplicaId, revision: RevisionId, address: Address, owner: Owner) -> None:
        self.replica = replica
        self.in_flight: dict[int, Pending] = {}
        self.draining = False
        self.group = 0  # requests that it takes at once
        self.start: ColdStart | None = None  # as it was told in its welcome
        self._revision, self._address, self._owner = revision, address, owner
        self._frames = wire.Frames()
        self._transport: asyncio.Transport | None = None
        self._credits = 0  # groups that it takes, answered or not begun
        self._groups: dict[int, int] = {}  # group → requests of it that are still out
        self._next_group = 0
        self._exclusive = False
        self._busy_seconds = self._busy_since = self._idle_since = 0.0
        self._alertness = Alertness()  # of the time that a request by itself takes
        self._usual_seconds = math.inf  # of a group, smoothed; nothing is known before the first answer
        self._measuring: list[asyncio.Future[int]] = []
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

    def stuck(self, now: float) -> bool:
        """Whether it has been busy for far too long with what it was sent first."""
        if not self.in_flight:
            return False
        oldest = next(iter(self.in_flight.values()))
        return now - oldest.sent_at > max(STUCK_SECONDS, STUCK_TIMES * self._usual_seconds)

    def send(self, requests: Sequence[Pending], now: float) -> None:
        """Send one group; `free` must hold. A request that must be alone needs a lane with nothing in flight."""
        assert self._transport is not None
        self._next_group += 1
        self._groups[self._next_group] = len(requests)
        self._exclusive = requests[0].alone
        if not self.in_flight:
            self._busy_since = now
        packed = []
        for request in requests:
            request.lane, request.group, request.sent_at = self, self._next_group, now
            self.in_flight[request.id] = request
            millis = max(1, int((min(request.deadline, request.slice_ends) - now) * 1000))
            flags = wire.ALONE if request.alone else 0
            packed.append(wire.Request(request.id, millis, flags, request.meta, request.body))
        self._transport.write(wire.pack_requests(packed))
        if len(self.in_flight) == 1 and self._alertness.watches and now - self._idle_since < _BRISK_SECONDS:
            self._watch_awake(now + WATCH_SECONDS)

    def _watch_awake(self, until: float) -> None:
        """Keep the event loop from sleeping while all that it waits for is one answer that is due."""
        if len(self.in_flight) == 1 and time.monotonic() < until:
            os.sched_yield()  # whoever has work goes first
            self._loop.call_soon(self._watch_awake, until)

    def busy_seconds(self, now: float) -> float:
        """For how long it has had something in flight, all in all."""
        return self._busy_seconds + (now - self._busy_since if self.in_flight else 0.0)

    def cancel(self, request: int) -> None:
        """Say that nobody waits for this request any more."""
        if self._transport is not None:
            self._transport.write(wire.pack_ids(wire.CANCEL, (request,)))

    async def measure(self, seconds: float) -> int:
        """The resident bytes of the replica's process; 0 where it does not tell within so many seconds."""
        if self._transport is None:
            return 0
        answer: asyncio.Future[int] = self._loop.create_future()
        self._measuring.append(answer)
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
        except wire.WireError:
            self.close()  # not a replica of ours

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._measured(0)
        self._owner.lost(self)

    def _received(self, kind: int, payload: memoryview) -> None:
        if kind == wire.ANSWERS:
            answered = []
            for answer in wire.unpack_answers(payload):
                request = self.in_flight.get(answer.id)
                if request is not None and not answer.flags & wire.MORE:
                    self._settle(request)
                    answered.append((request, answer))
            if answered:
                self._learn(time.monotonic() - answered[0][0].sent_at)
            self._owner.answered(self, answered)
        elif kind == wire.RETURNED:
            self._owner.returned(self, self._settle_all(wire.unpack_ids(payload)))
        elif kind in (wire.WELCOME, wire.CREDITS):
            self._credits, self.group, start = _terms(payload)
            self.start = start or self.start
            self._owner.connected(self)
        elif kind == wire.MEASURED:
            self._measured(*wire.unpack_ids(payload)[:1])
        elif kind == wire.DRAINING:
            self.draining = True
        if self.draining and not self.in_flight:
            self.close()  # a replica that drains ends as soon as nobody is connected to it

    def _measured(self, amount: int = 0) -> None:
        """All who have asked are told the same: it is the newest that there is."""
        for answer in self._measuring:
            if not answer.done():
                answer.set_result(amount)
        self._measuring.clear()

    def _learn(self, seconds: float) -> None:
        known = self._usual_seconds
        self._usual_seconds = seconds if known == math.inf else known + (seconds - known) / 8

    def _settle_all(self, ids: Iterable[int]) -> list[Pending]:
        held = [request for number in ids if (request := self.in_flight.get(number)) is not None]
        for request in held:
            self._settle(request)
        return held

    def _settle(self, request: Pending) -> None:
        del self.in_flight[request.id]
        request.lane = None
        left = self._groups[request.group] - 1
        if left:
            self._groups[request.group] = left
        else:
            del self._groups[request.group]
        if not self.in_flight:
            self._exclusive = False
            self._idle_since = time.monotonic()
            busy = self._idle_since - self._busy_since
            self._busy_seconds += busy
            self._alertness.learn(busy)


def _terms(payload: memoryview) -> tuple[int, int, ColdStart | None]:
    """Credits and group of a WELCOME or CREDITS frame, and the start of a WELCOME."""
    try:
        terms = json.loads(bytes(payload))
        return int(terms["credits"]), max(1, int(terms.get("group", 1))), ColdStart.read(terms)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise wire.WireError("a frame makes no sense") from error
