"""The summary of an endpoint's minute: requests, latencies and resources, computed from cumulative counters.

Latencies come from a histogram, and are as exact as its buckets: between two bounds they count as spread evenly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from tidegate.core.planes.account import Account
from tidegate.core.planes.latency_cells import LATENCY_BUCKETS

# the last bucket has no upper bound, and counts as its lower one
_BOUNDS = tuple(pairwise((0.0, *LATENCY_BUCKETS, LATENCY_BUCKETS[-1])))
_SHARES = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class MinutePoint:
    """One minute. It counts answers. Latencies are in milliseconds, and None where there was no answer.

    `cpu` is the share of the machine's cores that the replicas used, from 0 to 1. `memory_bytes` is their memory at the
    end. `concurrency` is the largest number of requests under way that was seen, and at least the average.
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


@dataclass(frozen=True, slots=True)
class MinuteUse:
    """A minute's length, CPU time, memory and largest number of requests at once, which the counters do not have."""

    seconds: float
    cpu_seconds: float = 0.0
    cores: int = 1
    memory_bytes: int = 0
    at_once: int = 0


def minute_point(at: float, before: Account, now: Account, use: MinuteUse) -> MinutePoint:
    """The minute from `at`, unix seconds, between two ledgers. A counter that went down counts as unchanged."""
    statuses = {status: max(0, count - before.statuses.get(status, 0)) for status, count in now.statuses.items()}
    pairs = zip_longest(now.latency_counts, before.latency_counts, fillvalue=0)
    least, p50, p75, p90, p95, p99, most = latencies_ms([max(0, after - earlier) for after, earlier in pairs])
    seconds = max(use.seconds, 1.0)
    average = max(0.0, now.latency_sum - before.latency_sum) / seconds
    return MinutePoint(
        at,
        sum(statuses.values()),
        _of_class(statuses, 4),
        _of_class(statuses, 5),
        least,
        p50,
        p75,
        p90,
        p95,
        p99,
        most,
        min(1.0, max(0.0, use.cpu_seconds) / (seconds * use.cores)),
        use.memory_bytes,
        max(float(use.at_once), average),
    )


def latencies_ms(counts: Sequence[int]) -> tuple[float | None, ...]:
    """The minimum, p50, p75, p90, p95, p99 and maximum of a histogram over LATENCY_BUCKETS, in milliseconds."""
    if not any(counts):
        return (None,) * len(_SHARES)
    return tuple(quantile(counts, share) * 1000 for share in _SHARES)


def quantile(counts: Sequence[int], share: float) -> float:
    """The quantile in seconds: this share of all durations is shorter. The histogram must not be empty."""
    rank, below, found = share * sum(counts), 0, 0.0
    for (low, high), count in zip(_BOUNDS, counts, strict=False):
        if count:
            found = low + (high - low) * min(1.0, (rank - below) / count)
            if rank <= below + count:
                break
            below += count
    return found


def _of_class(statuses: dict[int, int], hundreds: int) -> int:
    return sum(count for status, count in statuses.items() if status // 100 == hundreds)
