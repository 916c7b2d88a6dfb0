"""The connections to the replicas of one revision. One is made to each replica that the agent names."""

import asyncio
from collections.abc import Callable

from tidegate.core.endpoint.revision import Address, ReplicaId, RevisionAddresses
from tidegate.gateway.queue.lane import Lane
from tidegate.supervised import supervised

RECONNECT_SECONDS = 0.1
# A replica that has broken the protocol is connected to again after this time.
DISTRUST_SECONDS = 1.0


class ReplicaConnections:
    """`lanes` has a connection to each replica that the agent names, reached or not, and those that still drain."""

    def __init__(self, make_lane: Callable[[ReplicaId, Address], Lane]) -> None:
        self.lanes: dict[ReplicaId, Lane] = {}
        self._make_lane = make_lane
        self._named: dict[ReplicaId, Address] = {}  # by the agent
        self._drained: set[ReplicaId] = set()
        self._connecting: dict[ReplicaId, asyncio.Task[None]] = {}
        self._closed = False

    def follow(self, addresses: RevisionAddresses) -> None:
        """Connect to new replicas. The connections to those that are gone end by themselves."""
        replicas = dict(addresses.replicas)
        self._drained &= replicas.keys()  # the agent may not have heard yet that a replica drains
        self._named = {replica: address for replica, address in replicas.items() if replica not in self._drained}
        for replica in self._named:
            if replica not in self.lanes:
                self._connect(replica)

    def lost(self, lane: Lane) -> None:
        """A connection has ended: connect again, unless the replica drained or the agent does not name it any more."""
        del self.lanes[lane.replica]
        if lane.draining:
            self._drained.add(lane.replica)
        elif lane.replica in self._named:
            self._connect(lane.replica, DISTRUST_SECONDS if lane.distrusted else 0.0)

    def close(self) -> None:
        """Close all connections and make no others."""
        self._closed = True
        for task in self._connecting.values():
            task.cancel()
        for lane in list(self.lanes.values()):
            lane.close()

    def _connect(self, replica: ReplicaId, pause: float = 0.0) -> None:
        if not self._closed:
            lane = self.lanes[replica] = self._make_lane(replica, self._named[replica])
            self._connecting[replica] = asyncio.get_running_loop().create_task(self._open(lane, pause))

    async def _open(self, lane: Lane, pause: float) -> None:
        try:
            if pause:
                await asyncio.sleep(pause)
            await supervised(lambda: self._reach(lane), "connection to a replica")
        finally:
            if self._connecting.get(lane.replica) is asyncio.current_task():
                del self._connecting[lane.replica]

    async def _reach(self, lane: Lane) -> None:
        """Connect, for as long as the agent names the replica."""
        while lane.replica in self._named:
            try:
                await lane.connect()
                return
            except OSError:
                await asyncio.sleep(RECONNECT_SECONDS)
        del self.lanes[lane.replica]
