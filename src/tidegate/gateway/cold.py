"""Cold starts: what requests waited for because there was no replica, phase by phase, and how often that was."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.core.load import COLD_PHASES, LATENCY_BUCKETS, Histogram
from tidegate.gateway.pending import Pending


@dataclass(slots=True)
class ColdStart:
    """A replica's start as it tells it itself; times are those of time.monotonic, the same in all processes.

    `asked` is when the engine was asked for it, `forked` when its process began, `ready` when it listened.
    """

    mode: str  # "fork" | "spawn"
    asked: float
    forked: float
    ready: float
    measured: bool = False  # its first answer has come

    @classmethod
    def read(cls, welcome: Mapping[str, Any]) -> "ColdStart | None":
        """From a WELCOME; None where it does not tell. Raises KeyError, TypeError or ValueError."""
        told = welcome.get("start")
        if not told:
            return None
        return cls(str(told["mode"]), float(told["asked"]), float(told["forked"]), float(told["ready"]))

    def phases(self, arrived: float, answered: float) -> tuple[float, ...]:
        """The seconds of COLD_PHASES, of a request that came and was answered then. All but the last add up to it."""
        asked = max(arrived, self.asked)
        forked = max(asked, self.forked)
        ready = max(forked, self.ready)
        return asked - arrived, forked - asked, ready - forked, answered - ready, answered - arrived


def begin(waiting: Iterable[Pending], start: ColdStart | None, timeout: float, now: float) -> None:
    """The first replica is there: the time that the model may take begins for what has waited for it.

    `start` is None when the replica does not tell it. What came when it was ready already did not wait for its start.
    """
    first = True
    for request in _not_begun(waiting):
        request.deadline = min(request.latest or request.deadline, now + request.may_take(timeout))
        if start is not None and request.queued_at < start.ready:
            request.waited_for(start, first=first)
            first = False


def hold(waiting: Iterable[Pending]) -> None:
    """No replica is left: the model's time stands still for what has not begun."""
    for request in _not_begun(waiting):
        request.deadline = max(request.deadline, request.latest)


def _not_begun(waiting: Iterable[Pending]) -> Iterable[Pending]:
    return (request for request in waiting if not request.begun)


class ColdTimes:
    """Histograms of the phases by mode, of the first answer after each cold start; of this process."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._sums: dict[tuple[str, str], float] = {}

    def observe(self, mode: str, phases: tuple[float, ...]) -> None:
        """One start, by its phases."""
        for phase, seconds in zip(COLD_PHASES, phases, strict=True):
            counts = self._counts.setdefault((mode, phase), [0] * (len(LATENCY_BUCKETS) + 1))
            counts[bisect_left(LATENCY_BUCKETS, seconds)] += 1
            self._sums[mode, phase] = self._sums.get((mode, phase), 0.0) + seconds

    def report(self) -> dict[str, Histogram]:
        """As it travels: by `mode phase`."""
        return {
            f"{mode} {phase}": Histogram(tuple(counts), self._sums[mode, phase])
            for (mode, phase), counts in self._counts.items()
        }
