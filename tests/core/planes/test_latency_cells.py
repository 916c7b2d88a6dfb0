"""The cells belong to one bucket of either histogram."""

from bisect import bisect_left

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.planes.latency_cells import CELL_BOUNDS, LATENCY_BUCKETS, LATENCY_CELLS, coarse, fine
from tidegate.core.series.latency_histogram import bucket_of

SECONDS = st.one_of(st.floats(0, 200), st.sampled_from(CELL_BOUNDS), st.floats(1e-5, 1e-3))


def test_the_buckets_rise_and_reach_the_longest_request() -> None:
    assert list(LATENCY_BUCKETS) == sorted(set(LATENCY_BUCKETS))
    assert LATENCY_BUCKETS[0] > 0
    assert LATENCY_BUCKETS[-1] >= 60
    assert LATENCY_CELLS < 1000  # a cell of a record of the ledger each


@given(st.lists(SECONDS, max_size=60))
def test_both_histograms_are_those_of_the_latencies_themselves(latencies: list[float]) -> None:
    cells: dict[int, int] = {}
    wanted_fine: dict[int, int] = {}
    wanted_coarse = [0] * (len(LATENCY_BUCKETS) + 1)
    for seconds in latencies:
        cell = bisect_left(CELL_BOUNDS, seconds)
        assert cell < LATENCY_CELLS
        cells[cell] = cells.get(cell, 0) + 1
        wanted_fine[bucket_of(seconds)] = wanted_fine.get(bucket_of(seconds), 0) + 1
        wanted_coarse[bisect_left(LATENCY_BUCKETS, seconds)] += 1
    assert fine(cells) == wanted_fine
    assert coarse(cells) == tuple(wanted_coarse)
    assert coarse(cells, wanted_coarse) == tuple(2 * count for count in wanted_coarse)
    assert msgspec.json.decode(msgspec.json.encode(cells), type=dict[int, int]) == cells
