"""The cells in which gateways count latencies: one serves two histograms at once.

A cell lies between two neighbouring bounds of both histograms: the fine one of the series, of 32 buckets an octave, and
the one of LATENCY_BUCKETS, which `/metrics` has had from the beginning. So each cell belongs to one bucket of either,
both stay exact, and a latency costs one search and one count.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from tidegate.core.series import latency_histogram

# Upper bounds of the latency histogram's buckets, seconds. A last bucket has no bound.
LATENCY_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip

CELL_BOUNDS: tuple[float, ...] = tuple(sorted({*latency_histogram.BOUNDS, *LATENCY_BUCKETS}))
"""Upper bounds, seconds, each within its cell. A last cell has no bound."""
LATENCY_CELLS = len(CELL_BOUNDS) + 1

FINE_BUCKETS = (*(bisect_left(latency_histogram.BOUNDS, bound) for bound in CELL_BOUNDS), len(latency_histogram.BOUNDS))
"""The series' bucket of each cell."""
_COARSE = (*(bisect_left(LATENCY_BUCKETS, bound) for bound in CELL_BOUNDS), len(LATENCY_BUCKETS))


def fine(cells: Mapping[int, int]) -> dict[int, int]:
    """The counts of cells as a histogram of the series."""
    buckets: dict[int, int] = {}
    for cell, count in cells.items():
        bucket = FINE_BUCKETS[cell]
        buckets[bucket] = buckets.get(bucket, 0) + count
    return buckets


def coarse(cells: Mapping[int, int], before: Sequence[int] = ()) -> tuple[int, ...]:
    """The counts of cells per bucket of LATENCY_BUCKETS, added to `before`, which has the same buckets or none."""
    buckets = [*before] or [0] * (len(LATENCY_BUCKETS) + 1)
    for cell, count in cells.items():
        buckets[_COARSE[cell]] += count
    return tuple(buckets)
