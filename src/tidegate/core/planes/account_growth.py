"""What an account has gained, as a row of a table: the way of each second, which makes no point of its own."""

from operator import itemgetter

from tidegate.core.planes.account import Account
from tidegate.core.planes.latency_cells import FINE_BUCKETS
from tidegate.core.series.point_table import COLUMN, MICRO
from tidegate.core.series.series_point import STEPS

Numbers = list[tuple[int, int]]
"""Numbers with the places of their columns. One that is not above zero is no gain."""

_COUNTS = (
    "accepted", "answered", "rejected", "timed_out", "client_gone", "lost", "stepped", "request_bytes",
    "response_bytes", "cold_starts", "cold_requests",
)  # fmt: skip
_counts = itemgetter(*(Account._fields.index(name) for name in _COUNTS))
_COLUMNS = tuple(COLUMN[name] for name in _COUNTS)
_STEP_COLUMNS = tuple(COLUMN[name] for name in STEPS)
_LATENCY, _BATCHES = COLUMN["latency_seconds"], COLUMN["batches"]


def gains(now: Account, before: Account) -> tuple[Numbers, dict[int, int], dict[int, int]]:
    """What an account has gained since `before`: numbers, answers by status, and latencies by bucket.

    They are those of `grown`, but for cold starts. `now` may have a part of the cells, as there.
    """
    pairs = zip(_COLUMNS, _counts(now), _counts(before), strict=True)
    numbers = [(column, count - earlier) for column, count, earlier in pairs]
    if now.stepped != before.stepped:
        numbers += [
            (column, int((spent - earlier) * MICRO + 0.5))
            for column, spent, earlier in zip(_STEP_COLUMNS, now.steps, before.steps, strict=True)
        ]
        numbers.append((_BATCHES, int((now.batches - before.batches) * MICRO + 0.5)))
    numbers.append((_LATENCY, int((now.latency_sum - before.latency_sum) * MICRO + 0.5)))
    known = before.statuses
    statuses = {status: gain for status, count in now.statuses.items() if (gain := count - known.get(status, 0)) > 0}
    latency: dict[int, int] = {}
    cells = before.cells
    for cell, count in now.cells.items():
        gain = count - cells.get(cell, 0)
        if gain > 0:
            bucket = FINE_BUCKETS[cell]
            latency[bucket] = latency.get(bucket, 0) + gain
    return numbers, statuses, latency
