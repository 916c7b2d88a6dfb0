"""A point of an endpoint's series: what happened between two moments, and how it stood.

Counts add up; gauges are averaged over time, and extremes stay extremes. So points of a second become points of a
minute, and those become points of a day, without any loss but that of time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

from tidegate.core.series.latency_histogram import Histogram, grown, merged

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


def added(one: SeriesPoint, other: SeriesPoint) -> SeriesPoint:
    """Two points of the same thing, one after the other, as one point."""
    at, until = min(one.at, other.at), max(one.at + one.seconds, other.at + other.seconds)
    width = one.seconds + other.seconds
    shares = (one.seconds / width, other.seconds / width) if width else (0.5, 0.5)
    return _sum(one, other, at, until - at, shares)


def beside(one: SeriesPoint, other: SeriesPoint) -> SeriesPoint:
    """Two points of the same time, of two things (served entities, gateways), as one point."""
    at, until = min(one.at, other.at), max(one.at + one.seconds, other.at + other.seconds)
    return _sum(one, other, at, until - at, (1.0, 1.0))


def all_beside(points: Iterable[SeriesPoint], at: float, seconds: float) -> SeriesPoint:
    """The sum of points of the same time. Without any: an empty point of that time."""
    return reduce(beside, points, SeriesPoint(at, seconds))


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


def _sum(one: SeriesPoint, other: SeriesPoint, at: float, seconds: float, share: tuple[float, float]) -> SeriesPoint:
    def gauge(first: float, second: float) -> float:
        return first * share[0] + second * share[1]

    return SeriesPoint(
        at=at,
        seconds=seconds,
        gap=one.gap or other.gap,
        accepted=one.accepted + other.accepted,
        answered=one.answered + other.answered,
        rejected=one.rejected + other.rejected,
        timed_out=one.timed_out + other.timed_out,
        client_gone=one.client_gone + other.client_gone,
        lost=one.lost + other.lost,
        statuses=merged(one.statuses, other.statuses),
        latency=merged(one.latency, other.latency),
        latency_seconds=one.latency_seconds + other.latency_seconds,
        stepped=one.stepped + other.stepped,
        steps=tuple(a + b for a, b in zip(one.steps, other.steps, strict=True)),
        batches=one.batches + other.batches,
        request_bytes=one.request_bytes + other.request_bytes,
        response_bytes=one.response_bytes + other.response_bytes,
        cold_starts=one.cold_starts + other.cold_starts,
        cold_requests=one.cold_requests + other.cold_requests,
        cold=_cold(one.cold, other.cold),
        cpu_seconds=one.cpu_seconds + other.cpu_seconds,
        ready=gauge(one.ready, other.ready),
        wanted=gauge(one.wanted, other.wanted),
        memory_bytes=gauge(one.memory_bytes, other.memory_bytes),
        gpu=gauge(one.gpu, other.gpu),
        gpu_memory_bytes=gauge(one.gpu_memory_bytes, other.gpu_memory_bytes),
        in_flight=max(one.in_flight, other.in_flight),
        queued=max(one.queued, other.queued),
        oldest_wait_seconds=max(one.oldest_wait_seconds, other.oldest_wait_seconds),
    )


def _cold(
    one: Mapping[str, tuple[int, float]], other: Mapping[str, tuple[int, float]]
) -> Mapping[str, tuple[int, float]]:
    total = dict(one)
    for key, (count, seconds) in other.items():
        known = total.get(key, (0, 0.0))
        total[key] = known[0] + count, known[1] + seconds
    return total
