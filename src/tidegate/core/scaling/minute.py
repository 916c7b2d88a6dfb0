"""An endpoint's minute: what came, how long it took and what it used, made of cumulative accounts.

Latencies are read from a histogram, so they are as exact as its buckets: between two bounds they are taken to be spread
evenly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from tidegate.core.planes.load_report import LATENCY_BUCKETS, EndpointLedger

_BOUNDS = tuple(pairwise((0.0, *LATENCY_BUCKETS, LATENCY_BUCKETS[-1])))  # the last has no end: it counts as its begin
_SHARES = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class MinutePoint:
    """One minute. Counts are of answers; latencies, in milliseconds, are None where nothing was answered.

    `cpu` is the share of the machine's cores that its replicas used, from 0 to 1; `memory_bytes` what they had at the
    minute's end; `concurrency` the most requests that were seen under way at once, and at least the average.
    """

    at: float  # unix seconds of its start
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
    """What is known of a minute besides the accounts: how long it has been, and what was used and seen meanwhile."""

    seconds: float
    cpu_seconds: float = 0.0
    cores: int = 1
    memory_bytes: int = 0
    at_once: int = 0


def minute_point(at: float, before: EndpointLedger, now: EndpointLedger, use: MinuteUse) -> MinutePoint:
    """The minute that began at `at`, between two accounts. An account that fell counts as one that stood."""
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
    """Least, p50, p75, p90, p95, p99 and greatest of a histogram of LATENCY_BUCKETS, in milliseconds."""
    if not any(counts):
        return (None,) * len(_SHARES)
    return tuple(quantile(counts, share) * 1000 for share in _SHARES)


def quantile(counts: Sequence[int], share: float) -> float:
    """The seconds below which that share of all durations is. There must be one."""
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
