"""Cold starts: requests that waited because there was no replica, and the phases of their wait."""

from bisect import bisect_left
from collections.abc import Iterable

from tidegate.core.planes.latency_cells import LATENCY_BUCKETS
from tidegate.core.planes.load_report import COLD_PHASES, Histogram
from tidegate.gateway.queue.pending import Pending
from tidegate.gateway.queue.start_times import ColdStart


def begin(waiting: Iterable[Pending], start: ColdStart | None, timeout: float, now: float) -> None:
    """The first replica is there: the model's time begins for the requests that have waited for it.

    `start` is None where the replica does not tell it. A request that came after the replica was ready did not wait
    for its start.
    """
    first = True
    for request in _not_begun(waiting):
        request.deadline = min(request.latest or request.deadline, now + request.may_take(timeout))
        if start is not None and request.queued_at < start.ready:
            request.waited_for(start, first=first)
            first = False


def hold(waiting: Iterable[Pending]) -> None:
    """No replica is left: the model's time stands still for the requests that have not begun."""
    for request in _not_begun(waiting):
        request.deadline = max(request.deadline, request.latest)


def _not_begun(waiting: Iterable[Pending]) -> Iterable[Pending]:
    return (request for request in waiting if not request.begun)


class ColdTimes:
    """Histograms of the phases, by mode, for the first answer after each cold start of this process's time."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._sums: dict[tuple[str, str], float] = {}

    def observe(self, mode: str, phases: tuple[float, ...]) -> None:
        """Count one start by the seconds of its phases."""
        for phase, seconds in zip(COLD_PHASES, phases, strict=True):
            counts = self._counts.setdefault((mode, phase), [0] * (len(LATENCY_BUCKETS) + 1))
            counts[bisect_left(LATENCY_BUCKETS, seconds)] += 1
            self._sums[mode, phase] = self._sums.get((mode, phase), 0.0) + seconds

    def report(self) -> dict[str, Histogram]:
        """The histograms for a load report, by `mode phase`."""
        return {
            f"{mode} {phase}": Histogram(tuple(counts), self._sums[mode, phase])
            for (mode, phase), counts in self._counts.items()
        }
