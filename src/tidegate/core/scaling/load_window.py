"""A revision's load over the last minute: points in time, and averages between two of them."""

import math
from dataclasses import dataclass

# Two points are so far apart, seconds; what is asked for between them sees the newest all the same.
SPACING = 0.5
# An average over less says nothing.
SHORTEST = 1.0


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """A revision's load at one moment, over all gateways and replicas. The first four counts are cumulative."""

    at: float  # monotonic seconds
    requests: int = 0
    request_seconds: float = 0.0  # what requests have spent here, waiting or under way
    busy_seconds: float = 0.0  # what replicas have spent with something under way
    cpu_seconds: float = 0.0  # what replicas have used; 0 while it is not measured
    in_flight: int = 0
    queued: int = 0
    oldest_wait_seconds: float = 0.0
    stuck: int = 0  # replicas that take far longer than usual for what they have
    reported_at: float = math.inf  # when what waits was seen; infinite where that is now

    @property
    def at_once(self) -> int:
        """Requests that are here now."""
        return self.in_flight + self.queued

    @property
    def undone(self) -> float:
        """What is still to be done of them, in requests: of those under way half, on average."""
        return self.queued + self.in_flight / 2


@dataclass(frozen=True, slots=True)
class Stretch:
    """What happened between two points: averages over time."""

    seconds: float
    at_once: float
    rate: float  # requests/s that came
    done: float  # requests that were answered
    busy: float  # replicas with something under way
    cores: float  # cores in use

    @property
    def service_seconds(self) -> float | None:
        """A replica's time for a request; None where too few were answered to tell."""
        return self.busy * self.seconds / self.done if self.done >= 1 and self.busy > 0 else None

    @property
    def stay_seconds(self) -> float:
        """A request's time here, by Little's law."""
        return self.at_once / self.rate if self.rate else 0.0


@dataclass(frozen=True, slots=True)
class LoadWindow:
    """The points of the last `length` seconds, oldest first, and one from before."""

    length: float
    points: tuple[LoadPoint, ...] = ()

    @property
    def newest(self) -> LoadPoint:
        """The last that is known."""
        return self.points[-1]

    def plus(self, point: LoadPoint) -> "LoadWindow":
        """This window, moved on to `point`."""
        points = self.points
        if len(points) >= 2 and points[-1].at - points[-2].at < SPACING:
            points = points[:-1]
        edge = point.at - self.length
        first = next((place for place in range(len(points) - 1) if points[place + 1].at > edge), len(points) - 1)
        return LoadWindow(self.length, (*points[max(0, first) :], point))

    def over(self, seconds: float, shortest: float = SHORTEST) -> Stretch | None:
        """The last so many seconds, or what there is of them; None where that is less than `shortest`.

        After a pause in which nobody looked, what came since counts as of the last `seconds`.
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
