"""The framed socket to one replica: groups of requests out, answers in. See `tidegate_worker.wire`."""

import asyncio
import json
from collections.abc import Iterable
from typing import Protocol, cast

from tidegate.core.revision import Address, ReplicaId, RevisionId
from tidegate_worker import wire


class Owner(Protocol):
    """Who uses a connection, and hears of what happens on it."""

    def connected(self, _lane: "Lane") -> None:
        """The replica has welcomed us: it may be sent requests."""
        ...

    def answered(self, _lane: "Lane", answers: list[wire.Answer]) -> None:
        """Answers have come."""
        ...

    def returned(self, _lane: "Lane", ids: list[int]) -> None:
        """Requests come back that were not begun."""
        ...

    def lost(self, lane: "Lane") -> None:
        """The connection has ended; what it held was in flight."""
        ...


class Lane(asyncio.Protocol):
    """A connection to a replica. `in_flight` are the ids it has been sent and has not answered."""

    def __init__(self, replica: ReplicaId, revision: RevisionId, address: Address, owner: Owner) -> None:
        self.replica = replica
        self.in_flight: dict[int, int] = {}  # request id → the group it travelled in
        self.draining = False
        self._revision, self._address, self._owner = revision, address, owner
        self._frames = wire.Frames()
        self._transport: asyncio.Transport | None = None
        self._credits = 0
        self.group = 0
        self._groups: dict[int, int] = {}  # group → requests of it that are still out
        self._next_group = 0

    async def connect(self) -> None:
        """Reach the replica. Raises OSError when nobody listens there."""
        loop = asyncio.get_running_loop()
        host, _, port = self._address.path.rpartition(":")
        if host and port.isdigit():
            await loop.create_connection(lambda: self, host, int(port))
        else:
            await loop.create_unix_connection(lambda: self, self._address.path)

    @property
    def free(self) -> bool:
        """Whether it may be sent a group now."""
        return self._credits > len(self._groups) and not self.draining

    def send(self, requests: list[wire.Request]) -> None:
        """Send one group; `free` must hold."""
        assert self._transport is not None
        self._next_group += 1
        self._groups[self._next_group] = len(requests)
        for request in requests:
            self.in_flight[request.id] = self._next_group
        self._transport.write(wire.pack_requests(requests))

    def cancel(self, request: int) -> None:
        """Say that nobody waits for this request any more."""
        if self._transport is not None:
            self._transport.write(wire.pack_ids(wire.CANCEL, (request,)))

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
        except (wire.WireError, ValueError):
            self.close()  # not a replica of ours

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._owner.lost(self)

    def _received(self, kind: int, payload: memoryview) -> None:
        if kind == wire.ANSWERS:
            answers = wire.unpack_answers(payload)
            self._settle(answer.id for answer in answers if not answer.flags & wire.MORE)
            self._owner.answered(self, answers)
        elif kind == wire.RETURNED:
            ids = wire.unpack_ids(payload)
            self._settle(ids)
            self._owner.returned(self, ids)
        elif kind == wire.WELCOME:
            welcome = json.loads(bytes(payload))
            self._credits, self.group = int(welcome["credits"]), int(welcome.get("group", 1))
            self._owner.connected(self)
        elif kind == wire.DRAINING:
            self.draining = True
            self._close_if_drained()

    def _settle(self, ids: Iterable[int]) -> None:
        for number in ids:
            group = self.in_flight.pop(number, None)
            if group is not None:
                self._groups[group] -= 1
                if not self._groups[group]:
                    del self._groups[group]
        self._close_if_drained()

    def _close_if_drained(self) -> None:
        # A replica that drains ends as soon as nobody is connected to it.
        if self.draining and not self._groups:
            self.close()
