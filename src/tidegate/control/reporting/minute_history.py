"""Each endpoint's last hour, minute by minute, in the memory of this process.

Nothing is counted here: a minute is the difference between two sums of the gateways' reports. A minute in which nothing
happened is not kept but made when it is asked for, so a thousand idle endpoints cost next to nothing.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.publish.gateway_totals import Accounts
from tidegate.control.reconcile.world import World
from tidegate.core.endpoint.revision import Replica, ReplicaId
from tidegate.core.planes.account import Account, in_flight
from tidegate.core.scaling.minute import MinutePoint, MinuteUse, minute_point
from tidegate.ports import Clock

MINUTE = 60.0
# How many minutes are told at most: an hour, and the minute under way.
KEPT = 61

_NOTHING = Account()


class MinuteHistory:
    """Looks at every report. Counts from before a gateway's first report to this process are left out."""

    def __init__(self, gateways: Gateways, world: World, clock: Clock, cores: int) -> None:
        self._gateways, self._world, self._clock, self._cores = gateways, world, clock, cores
        self._points: dict[str, deque[MinutePoint]] = {}  # oldest first
        self._known: set[int] = set()  # gateways
        self._base = Accounts()  # the counters when the minute under way began
        self._cpu_of: Mapping[ReplicaId, float] = {}  # CPU seconds of the replicas at that time
        self._at_once: dict[str, int] = {}  # endpoint → the most requests under way at once in the minute
        self._minute = self._first = int(clock.now() // MINUTE)  # the minute under way, and the first known one
        self._began, self._began_at = clock.monotonic(), clock.now()

    def points(self, endpoint: str, since: float, until: float) -> tuple[MinutePoint, ...]:
        """The known minutes of an endpoint from `since` to `until`, unix seconds.

        The last may be the minute under way. The minutes of an unknown endpoint are empty.
        """
        return self.points_of([endpoint], since, until)[0]

    def points_of(self, endpoints: Sequence[str], since: float, until: float) -> tuple[tuple[MinutePoint, ...], ...]:
        """The known minutes of each of these endpoints, as `points` has them."""
        self.look()
        first = max(self._first, self._minute - KEPT + 1, int(since // MINUTE))
        last = min(self._minute, int(until // MINUTE))
        starts = [minute * MINUTE for minute in range(first, last + 1)]
        accounts, replicas = self._gateways.accounts, self._replicas()
        found = []
        for name in endpoints:
            known = {point.at: point for point in self._points.get(name, ())}
            known[self._minute * MINUTE] = self._point(name, accounts, replicas)
            found.append(tuple(known.get(at) or MinutePoint(at) for at in starts))
        return tuple(found)

    def look(self) -> None:
        """A gateway has reported: notice new gateways, the end of the minute, and the requests under way."""
        at_once: dict[str, int] = {}
        for report in self._gateways.reports:
            if report.gateway not in self._known:
                self._known.add(report.gateway)
                self._base = self._base.plus(report)
            for name, accounts in report.accounts.items():
                if under_way := in_flight(accounts.values()):
                    at_once[name] = at_once.get(name, 0) + under_way
        minute = int(self._clock.now() // MINUTE)
        if minute > self._minute:
            self._close(minute)
        elif minute < self._minute - 1:
            self._go_back(minute)
        for name, count in at_once.items():
            self._at_once[name] = max(count, self._at_once.get(name, 0))

    # ---

    def _close(self, next_minute: int) -> None:
        accounts, replicas = self._gateways.accounts, self._replicas()
        busy = set(accounts.changed_since(self._base))
        for name in busy | replicas.keys() | self._at_once.keys():
            point = self._point(name, accounts, replicas)
            if point != MinutePoint(point.at):
                self._points.setdefault(name, deque(maxlen=KEPT)).append(point)
        self._base, self._at_once = accounts, {}
        self._cpu_of = {replica.id: replica.cpu_seconds for own in replicas.values() for replica in own}
        self._minute, self._began, self._began_at = next_minute, self._clock.monotonic(), self._clock.now()
        self._keep_between(next_minute - KEPT + 1, next_minute)

    def _go_back(self, minute: int) -> None:
        """The clock was put back by more than a minute: forget the minutes that lie ahead of it now."""
        self._minute, self._first, self._began_at = minute, min(self._first, minute), self._clock.now()
        self._keep_between(0, minute)

    def _keep_between(self, first: int, end: int) -> None:
        for name, points in list(self._points.items()):
            if not first * MINUTE <= points[0].at <= points[-1].at < end * MINUTE:
                kept = [point for point in points if first * MINUTE <= point.at < end * MINUTE]
                self._points[name] = deque(kept, KEPT)
                if not kept:
                    del self._points[name]

    def _point(self, name: str, accounts: Accounts, replicas: Mapping[str, list[Replica]]) -> MinutePoint:
        """The minute under way, until now."""
        own = replicas.get(name, [])
        use = MinuteUse(
            self._clock.monotonic() - self._began,
            sum(self._used(replica) for replica in own),
            self._cores,
            sum(replica.memory_bytes for replica in own),
            self._at_once.get(name, 0),
        )
        before, now = self._base.endpoint(name) or _NOTHING, accounts.endpoint(name) or _NOTHING
        return minute_point(self._minute * MINUTE, before, now, use)

    def _used(self, replica: Replica) -> float:
        """The CPU seconds of a replica in the minute under way; 0 for an older replica that was not seen before."""
        seen = self._cpu_of.get(replica.id)
        if seen is None:
            seen = 0.0 if replica.started_at >= self._began_at else replica.cpu_seconds
        return max(0.0, replica.cpu_seconds - seen)

    def _replicas(self) -> dict[str, list[Replica]]:
        found: dict[str, list[Replica]] = {}
        for observation in self._world.observations.values():
            if observation.replicas:
                found.setdefault(observation.target.endpoint, []).extend(observation.replicas)
        return found
