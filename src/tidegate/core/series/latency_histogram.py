"""The histogram of latencies: exponential buckets, 32 an octave, from 61 µs to 128 s.

These are the buckets of OpenTelemetry's exponential histogram of scale 5, and of Prometheus' native histogram of schema
5: bucket i of theirs ends at 2 ** (i / 32) seconds. A quantile read from it is at most 1.1 % beside the true value:
the middle of a bucket is at most (g - 1) / (g + 1) away from its ends, with g = 2 ** (1 / 32).

A histogram is a mapping from the bucket's number, from 0 to BUCKETS - 1, to its count. Empty buckets are left out.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate

SCALE = 5
PER_OCTAVE = 2**SCALE
FIRST_OCTAVE, LAST_OCTAVE = -14, 7  # 2 ** -14 s is 61 µs; 2 ** 7 s is 128 s
# The index of our bucket 0 among theirs: it ends at 2 ** FIRST_OCTAVE.
FIRST_INDEX = FIRST_OCTAVE * PER_OCTAVE

BOUNDS: tuple[float, ...] = tuple(
    2.0 ** (index / PER_OCTAVE) for index in range(FIRST_INDEX, LAST_OCTAVE * PER_OCTAVE + 1)
)
"""Upper bounds, seconds, each within its bucket. A last bucket has no bound."""
BUCKETS = len(BOUNDS) + 1
_GROWTH: float = 2.0 ** (1 / PER_OCTAVE)

Histogram = Mapping[int, int]


def bucket_of(seconds: float) -> int:
    """The number of the bucket that a latency belongs to."""
    return bisect_left(BOUNDS, seconds)


def middle(bucket: int) -> float:
    """The value that a bucket's latencies count as, seconds: the one that is, in ratio, nearest to both its ends."""
    if bucket >= len(BOUNDS):
        return BOUNDS[-1]
    high = BOUNDS[bucket]
    low = BOUNDS[bucket - 1] if bucket else high / _GROWTH
    return 2 * low * high / (low + high)


def quantile(histogram: Histogram, share: float) -> float | None:
    """The latency, seconds, that this share of all is not above; None where there is none.

    The rank is that of the nearest-rank method: the smallest latency with at least `share` of all at or below it.
    """
    return quantiles(histogram, (share,))[0]


def quantiles(histogram: Histogram, shares: Iterable[float]) -> tuple[float | None, ...]:
    """The quantile of each of these shares, seconds. The histogram is sorted once for all."""
    buckets = sorted(bucket for bucket, count in histogram.items() if count)
    if not buckets:
        return tuple(None for _ in shares)
    upto = list(accumulate(histogram[bucket] for bucket in buckets))
    ranks = (bisect_left(upto, max(1.0, share * upto[-1])) for share in shares)
    return tuple(middle(buckets[min(rank, len(buckets) - 1)]) for rank in ranks)


def add(total: dict[int, int], more: Histogram) -> None:
    """Add a histogram to a total."""
    for bucket, count in more.items():
        total[bucket] = total.get(bucket, 0) + count


def grown(now: Histogram, before: Histogram) -> dict[int, int]:
    """What a growing histogram has gained. A count that fell counts as unchanged."""
    return {bucket: count - before.get(bucket, 0) for bucket, count in now.items() if count > before.get(bucket, 0)}
