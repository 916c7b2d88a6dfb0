"""A point of an endpoint's series: what happened between two moments, and how it stood.

Counts add up; gauges are averaged over time, and extremes stay extremes. So points of a second become points of a
minute, and those become points of a day, without any loss but that of time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, mul

from tidegate.core.series.latency_histogram import Histogram, add, grown

STEPS = ("queue", "wait", "decode", "predict", "encode", "gateway")
"""The steps of a request, in order: waiting in the gateway for a replica; waiting in the replica for its batch; the
worker's three steps; and the rest, which is the gateway's own."""

WHOLE = ""
"""The served entity of what was refused before a version was picked."""


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """One point of an endpoint, or of one of its served entities.

    `seconds` is its width. `gap` says that control was away during a part of it: its counts are then those of a longer
    time, as far as they are known, and not zero. `steps` are sums over `stepped` answers, seconds, in the order of
    STEPS. `batches` is the number of predictions by which `stepped` answers were made. `cold` has, by `mode phase`,
    the number of cold starts and the seconds of all of them (`COLD_PHASES` in the load report).
    """

    at: float  # its begin, unix seconds
    seconds: float
    gap: bool = False
    accepted: int = 0
    answered: int = 0
    rejected: int = 0
    timed_out: int = 0
    client_gone: int = 0
    lost: int = 0
    statuses: Mapping[int, int] = field(default_factory=dict)  # HTTP status → answers
    latency: Histogram = field(default_factory=dict)
    latency_seconds: float = 0.0  # the sum
    stepped: int = 0
    steps: tuple[float, ...] = (0.0,) * len(STEPS)
    batches: float = 0.0
    request_bytes: int = 0
    response_bytes: int = 0
    cold_starts: int = 0
    cold_requests: int = 0
    cold: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    # Gauges, averaged over the point's time.
    ready: float = 0.0  # replicas
    wanted: float = 0.0  # replicas, as the autoscaler says
    memory_bytes: float = 0.0
    gpu: float = 0.0  # share of the endpoint's GPUs in use, 0 to 1
    gpu_memory_bytes: float = 0.0
    # Extremes.
    in_flight: int = 0
    queued: int = 0
    oldest_wait_seconds: float = 0.0

    @property
    def requests(self) -> int:
        """All answers, errors included."""
        return sum(self.statuses.values())

    def of_class(self, hundreds: int) -> int:
        """The answers whose status begins with this digit."""
        return sum(count for status, count in self.statuses.items() if status // 100 == hundreds)


def added(*points: SeriesPoint) -> SeriesPoint:
    """Points of the same thing, at least one, each after the one before it, as one point."""
    width = sum(point.seconds for point in points)
    shares = [point.seconds / width if width else 1 / len(points) for point in points]
    return _sum(points, shares)


def beside(*points: SeriesPoint) -> SeriesPoint:
    """Points of the same time, at least one, of several things (served entities, gateways), as one point."""
    return _sum(points, [1.0] * len(points))


def all_beside(points: Iterable[SeriesPoint], at: float, seconds: float) -> SeriesPoint:
    """The sum of points of the same time. Without any: an empty point of that time."""
    return beside(SeriesPoint(at, seconds), *points)


def less(total: SeriesPoint, earlier: SeriesPoint) -> SeriesPoint:
    """What a growing total has gained since it was `earlier`. A count that fell counts as unchanged."""

    def gained(name: str) -> float:
        gain: float = getattr(total, name) - getattr(earlier, name)
        return max(0, gain)

    statuses = {status: count - earlier.statuses.get(status, 0) for status, count in total.statuses.items()}
    return replace(
        total,
        **{name: gained(name) for name in _GROWING},  # type: ignore[arg-type]
        statuses={status: count for status, count in statuses.items() if count > 0},
        latency=grown(total.latency, earlier.latency),
        steps=tuple(max(0.0, a - b) for a, b in zip(total.steps, earlier.steps, strict=True)),
        cold={
            key: (count - known[0], max(0.0, seconds - known[1]))
            for key, (count, seconds) in total.cold.items()
            if count > (known := earlier.cold.get(key, (0, 0.0)))[0]
        },
    )


_GROWING = (
    "accepted", "answered", "rejected", "timed_out", "client_gone", "lost", "latency_seconds", "stepped", "batches",
    "request_bytes", "response_bytes", "cold_starts", "cold_requests", "cpu_seconds",
)  # fmt: skip


_GAUGES = ("ready", "wanted", "memory_bytes", "gpu", "gpu_memory_bytes")
_EXTREMES = ("in_flight", "queued", "oldest_wait_seconds")


def _sum(points: Sequence[SeriesPoint], shares: Sequence[float]) -> SeriesPoint:
    at, until = min(point.at for point in points), max(point.at + point.seconds for point in points)
    statuses, latency, cold = dict[int, int](), dict[int, int](), dict[str, tuple[int, float]]()
    for point in points:
        add(statuses, point.statuses)
        add(latency, point.latency)
        for key, (count, seconds) in point.cold.items():
            known = cold.get(key, (0, 0.0))
            cold[key] = known[0] + count, known[1] + seconds
    return SeriesPoint(
        at=at,
        seconds=until - at,
        gap=any(point.gap for point in points),
        statuses=statuses,
        latency=latency,
        steps=tuple(map(sum, zip(*(point.steps for point in points), strict=True))),
        cold=cold,
        **{name: sum(map(attrgetter(name), points)) for name in _GROWING},
        **{name: sum(map(mul, map(attrgetter(name), points), shares)) for name in _GAUGES},
        **{name: max(map(attrgetter(name), points)) for name in _EXTREMES},
    )
