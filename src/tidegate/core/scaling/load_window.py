"""The load of a revision over the last minute, as points in time, and averages between two points."""

import math
from dataclasses import dataclass

# The distance of two kept points in seconds. The newest point is always there, however close to the one before.
SPACING = 0.5
# An average over fewer seconds has no meaning.
SHORTEST = 1.0


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """The load of a revision at one moment, over all gateways and replicas. The first four values are cumulative."""

    at: float  # monotonic seconds
    requests: int = 0
    request_seconds: float = 0.0  # the time of requests, queued and in flight
    busy_seconds: float = 0.0  # the time of replicas with requests under way
    cpu_seconds: float = 0.0  # the CPU time of replicas; 0 where it is not measured
    in_flight: int = 0
    queued: int = 0
    oldest_wait_seconds: float = 0.0
    stuck: int = 0  # replicas whose requests take far longer than usual
    reported_at: float = math.inf  # when the gateways reported the queue; infinite where that is now

    @property
    def at_once(self) -> int:
        """The requests queued and in flight."""
        return self.in_flight + self.queued

    @property
    def undone(self) -> float:
        """The remaining work in requests. One that is in flight is half done, on average."""
        return self.queued + self.in_flight / 2


@dataclass(frozen=True, slots=True)
class Stretch:
    """The averages between two points."""

    seconds: float
    at_once: float
    rate: float  # requests/s that arrived
    done: float  # requests that were answered
    busy: float  # replicas with requests under way
    cores: float  # cores in use

    @property
    def service_seconds(self) -> float | None:
        """A replica's time for a request; None where fewer than one was answered."""
        return self.busy * self.seconds / self.done if self.done >= 1 and self.busy > 0 else None

    @property
    def stay_seconds(self) -> float:
        """The time of a request from its arrival to its answer, by Little's law."""
        return self.at_once / self.rate if self.rate else 0.0


@dataclass(frozen=True, slots=True)
class LoadWindow:
    """The points of the last `length` seconds, oldest first, and one point before them."""

    length: float
    points: tuple[LoadPoint, ...] = ()

    @property
    def newest(self) -> LoadPoint:
        """The newest point."""
        return self.points[-1]

    def plus(self, point: LoadPoint) -> "LoadWindow":
        """This window with a new point, and without the points that are too old."""
        points = self.points
        if len(points) >= 2 and points[-1].at - points[-2].at < SPACING:
            points = points[:-1]
        edge = point.at - self.length
        first = next((place for place in range(len(points) - 1) if points[place + 1].at > edge), len(points) - 1)
        return LoadWindow(self.length, (*points[max(0, first) :], point))

    def over(self, seconds: float, shortest: float = SHORTEST) -> Stretch | None:
        """The averages over the last `seconds`, or over the part that the window has; None below `shortest` seconds.

        After a gap without points, the requests since the gap count as those of the last `seconds`.
        """
        newest = self.newest
        base = next(point for point in self.points if point.at >= newest.at - seconds)
        if newest.at - base.at < shortest:
            earlier = [point for point in self.points if point.at <= newest.at - shortest]
            if not earlier:
                return None
            base = earlier[-1]
        return _between(base, newest, min(newest.at - base.at, seconds))


def _between(base: LoadPoint, newest: LoadPoint, seconds: float) -> Stretch:
    requests = newest.requests - base.requests
    return Stretch(
        seconds,
        at_once=(newest.request_seconds - base.request_seconds) / seconds,
        rate=requests / seconds,
        done=requests - (newest.undone - base.undone),
        busy=(newest.busy_seconds - base.busy_seconds) / seconds,
        cores=(newest.cpu_seconds - base.cpu_seconds) / seconds,
    )
