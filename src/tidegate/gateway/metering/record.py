"""A record of the ledger: the account of one served entity of an endpoint, as cells of 8 bytes.

Counts are unsigned integers, seconds are floating-point numbers, both in this machine's byte order. Each is written by
one store, so a process that is killed leaves whole numbers behind.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping

from tidegate.core.planes.account import Account
from tidegate.core.planes.latency_cells import CELL_BOUNDS, LATENCY_BUCKETS, LATENCY_CELLS
from tidegate.core.planes.load_report import COLD_PHASES, STATUSES

# Counts. An answer with a prediction is counted by PREDICTED alone, which stands for the status 200 too.
(
    ACCEPTED, PREDICTED, FAILED, REJECTED, TIMED_OUT, CLIENT_GONE, LOST, BYTES_IN, BYTES_OUT, COLD_STARTS,
    COLD_REQUESTS, UNSTEPPED,
) = range(12)  # fmt: skip
# Seconds: of predictions; of all other answers; of predictions whose steps are not known; and the steps of the others.
# BATCHES is a number of predictions: each request of a batch counts as its share of it.
PREDICTED_SECONDS, OTHER_SECONDS, UNSTEPPED_SECONDS, QUEUE, WAIT, DECODE, PREDICT, ENCODE, BATCHES = range(12, 21)
# For each mode: the number of cold starts, then the seconds of each phase.
COLD = 21
COLD_MODES = ("fork", "spawn")
_COLD_WIDTH = 1 + len(COLD_PHASES)
FIRST_STATUS = COLD + len(COLD_MODES) * _COLD_WIDTH
# Latencies that are known by their bucket of LATENCY_BUCKETS alone: those from a ledger of version 2.
FIRST_COARSE = FIRST_STATUS + len(STATUSES)
FIRST_LATENCY = FIRST_COARSE + len(LATENCY_BUCKETS) + 1
CELLS = FIRST_LATENCY + LATENCY_CELLS
# The cells of seconds, and their like; all others are counts.
SECONDS = frozenset(
    [*range(PREDICTED_SECONDS, COLD)]
    + [COLD + mode * _COLD_WIDTH + phase for mode in range(len(COLD_MODES)) for phase in range(1, _COLD_WIDTH)]
)

_STATUS_CELL = {status: FIRST_STATUS + place for place, status in enumerate(STATUSES)}
_ERRORS = STATUSES[1:]

Steps = tuple[bytes, float, float, float, float, float]
"""The steps in a replica: a text; the seconds of wait, decode, predict and encode; and the request's share of a batch.

The share is 0 where the steps are not known.
"""


_Rare = tuple[
    int, int, int, int, int, Mapping[int, int], tuple[int, ...], float, int, int, int, float,
    Mapping[str, tuple[int, float]],
]  # fmt: skip


class Record:
    """One account. Each request that it has is closed once, in one of four ways.

    What changes with every prediction is kept beside its cells, as it is read faster there. `touched` has the cells of
    latencies that have changed since the last news.
    """

    __slots__ = (
        "_changed", "_on_news", "_rare", "batches", "bytes_in", "bytes_out", "cells", "decode", "encode", "latencies",
        "predict", "predicted", "queue", "seconds", "sums", "touched", "wait",
    )  # fmt: skip

    def __init__(self, body: memoryview, on_news: Callable[[], None] = lambda: None) -> None:
        """The record with these cells, CELLS of them. `on_news` is called at the first change after each `news`."""
        self.cells, self.sums = body.cast("Q"), body.cast("d")
        self.latencies = self.cells[FIRST_LATENCY:]
        self._changed, self._on_news = False, on_news
        self.touched: dict[int, int] = {}
        self._rare: _Rare | None = None  # what few requests change, as the cells have it; None: to be read
        self.predicted, self.bytes_in, self.bytes_out = (self.cells[cell] for cell in (PREDICTED, BYTES_IN, BYTES_OUT))
        self.seconds: float = self.sums[PREDICTED_SECONDS]
        self.queue, self.wait, self.decode, self.predict, self.encode, self.batches = self.sums[QUEUE : BATCHES + 1]

    def answer_ok(self, seconds: float, waited: float, steps: Steps, bytes_in: int, bytes_out: int) -> None:
        """Close a request that was answered with a prediction, the most frequent case."""
        cells, sums, latencies = self.cells, self.sums, self.latencies
        self.predicted = cells[PREDICTED] = self.predicted + 1
        cell = bisect_left(CELL_BOUNDS, seconds)
        self.touched[cell] = latencies[cell] = latencies[cell] + 1
        self.bytes_in = cells[BYTES_IN] = self.bytes_in + bytes_in
        self.bytes_out = cells[BYTES_OUT] = self.bytes_out + bytes_out
        self.seconds = sums[PREDICTED_SECONDS] = self.seconds + seconds
        _, wait, decode, predict, encode, share = steps
        if share:
            self.queue = sums[QUEUE] = self.queue + waited
            self.wait = sums[WAIT] = self.wait + wait
            self.decode = sums[DECODE] = self.decode + decode
            self.predict = sums[PREDICT] = self.predict + predict
            self.encode = sums[ENCODE] = self.encode + encode
            self.batches = sums[BATCHES] = self.batches + share
        else:
            self._rare = None
            cells[UNSTEPPED] += 1
            sums[UNSTEPPED_SECONDS] += seconds
        if not self._changed:
            self._changed = True
            self._on_news()

    def answer(self, status: int, seconds: float, bytes_in: int) -> None:
        """Close a request that the model answered with an error."""
        self.bytes_in = self.cells[BYTES_IN] = self.bytes_in + bytes_in
        self._close(FAILED, status, seconds)

    def reject(self, status: int, seconds: float) -> None:
        """Close a request that the platform refused."""
        self._close(REJECTED, status, seconds)

    def time_out(self, status: int, seconds: float) -> None:
        """Close a request whose deadline passed."""
        self._close(TIMED_OUT, status, seconds)

    def leave(self) -> None:
        """Close a request whose caller has gone."""
        self._count(CLIENT_GONE)

    def wait_cold(self, *, first: bool) -> None:
        """Count a request that waited for a replica's start. `first` of the requests that waited for it."""
        self._count(COLD_REQUESTS)
        if first:
            self._count(COLD_STARTS)

    def start_cold(self, mode: str, phases: tuple[float, ...]) -> None:
        """Count a cold start, of a mode of COLD_MODES, by the seconds of COLD_PHASES."""
        first = COLD + COLD_MODES.index(mode) * _COLD_WIDTH
        for cell, seconds in enumerate(phases, first + 1):
            self.sums[cell] += seconds
        self._count(first)

    def _close(self, outcome: int, status: int, seconds: float) -> None:
        self._count(outcome)
        self.cells[_STATUS_CELL[status]] += 1
        self.sums[OTHER_SECONDS] += seconds
        cell = bisect_left(CELL_BOUNDS, seconds)
        self.touched[cell] = self.latencies[cell] = self.latencies[cell] + 1

    def _count(self, cell: int) -> None:
        self.cells[cell] += 1
        self._rare = None
        if not self._changed:
            self._changed = True
            self._on_news()

    def news(self) -> Account:
        """The account, with the touched cells of latencies only."""
        touched = self.touched
        self.forget()
        return self._account(touched)

    def forget(self) -> None:
        """Whatever has changed until now is no news any more."""
        self.touched, self._changed = {}, False

    def whole(self) -> Account:
        """The account."""
        return self._account(_counted(self.latencies))

    def _account(self, latencies: dict[int, int]) -> Account:
        rare = self._rare
        if rare is None:
            rare = self._rare = _rare(self.cells, self.sums)
        failed, rejected, timed_out, gone, lost, errors, coarse, others, starts, colds, unstepped, unknown, cold = rare
        predicted, seconds = self.predicted, self.seconds
        queue, wait, decode, predict, encode = self.queue, self.wait, self.decode, self.predict, self.encode
        known = queue + wait + decode + predict + encode
        statuses = {200: predicted, **errors} if predicted else errors
        steps = (queue, wait, decode, predict, encode, max(0.0, seconds - unknown - known))
        return Account._make((
            self.cells[ACCEPTED], predicted + failed, rejected, timed_out, gone, lost, statuses, latencies, coarse,
            seconds + others, self.bytes_in, self.bytes_out, starts, colds, predicted - unstepped, steps, self.batches,
            cold,
        ))  # fmt: skip


def _rare(cells: memoryview, sums: "memoryview[float]") -> _Rare:
    failed, rejected, timed_out, gone, lost = cells[FAILED:BYTES_IN].tolist()
    counts = zip(_ERRORS, cells[FIRST_STATUS + 1 : FIRST_COARSE].tolist(), strict=True)
    starts, colds, unstepped = cells[COLD_STARTS:PREDICTED_SECONDS].tolist()
    return (
        failed, rejected, timed_out, gone, lost, {status: count for status, count in counts if count}, _coarse(cells),
        sums[OTHER_SECONDS], starts, colds, unstepped, sums[UNSTEPPED_SECONDS], _cold(cells, sums),
    )  # fmt: skip


def _counted(latencies: memoryview) -> dict[int, int]:
    """The latencies by cell, without the empty cells."""
    raw = latencies.tobytes()
    first, end = (len(raw) - len(raw.lstrip(b"\0"))) // 8, -(-len(raw.rstrip(b"\0")) // 8)
    return {cell: count for cell, count in enumerate(latencies[first:end].tolist(), first) if count}


def _coarse(cells: memoryview) -> tuple[int, ...]:
    counts = tuple(cells[FIRST_COARSE:FIRST_LATENCY].tolist())
    return counts if any(counts) else ()


def _cold(cells: memoryview, sums: "memoryview[float]") -> dict[str, tuple[int, float]]:
    found: dict[str, tuple[int, float]] = {}
    for place, mode in enumerate(COLD_MODES):
        first = COLD + place * _COLD_WIDTH
        if count := cells[first]:
            for phase, seconds in zip(COLD_PHASES, sums[first + 1 : first + _COLD_WIDTH].tolist(), strict=True):
                found[f"{mode} {phase}"] = count, seconds
    return found


def in_flight(records: Iterable[memoryview]) -> int:
    """The requests under way of an endpoint, by the counts of all its records."""
    return sum(cells[ACCEPTED] - sum(cells[PREDICTED:BYTES_IN].tolist()) for cells in records)
