"""The summary of an endpoint's minute for the older products: requests, latencies and resources, of a series' point."""

from dataclasses import dataclass

from tidegate.core.series.latency_histogram import quantile
from tidegate.core.series.series_point import SeriesPoint


@dataclass(frozen=True, slots=True)
class MinutePoint:
    """One minute. It counts answers. Latencies are in milliseconds, and None where there was no answer.

    `cpu` is the share of the machine's cores that the replicas used, from 0 to 1. `memory_bytes` is their memory on
    average. `concurrency` is the largest number of requests under way that was seen, and at least the average.
    """

    at: float  # the start, unix seconds
    requests: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    min_ms: float | None = None
    p50_ms: float | None = None
    p75_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    cpu: float = 0.0
    memory_bytes: int = 0
    concurrency: float = 0.0


def minute_point(point: SeriesPoint, seconds: float, cores: int) -> MinutePoint:
    """The minute of a point, of which so many seconds are over, on a machine with so many cores."""
    time = max(seconds, 1.0)

    def millis(share: float) -> float | None:
        found = quantile(point.latency, share)
        return None if found is None else found * 1000

    return MinutePoint(
        point.at,
        point.requests,
        point.of_class(4),
        point.of_class(5),
        millis(0.0),
        millis(0.5),
        millis(0.75),
        millis(0.9),
        millis(0.95),
        millis(0.99),
        millis(1.0),
        min(1.0, point.cpu_seconds / (time * cores)),
        round(point.memory_bytes),
        max(float(point.in_flight), point.latency_seconds / time),
    )
