"""How the series are read: what the dashboard, the APIs and `tidegate top` see of them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tidegate.core.series.series_point import SeriesPoint

COMES_IN = 2.0
"""Seconds after which the reports of a second have come. What ends later is not whole yet: it may look like nothing."""


def whole_until(now: float) -> float:
    """The end of the newest second whose reports have come: when the next one is over."""
    return float(int(now - COMES_IN + 1))


class Series(Protocol):
    """The series of all endpoints. Times are unix seconds."""

    async def points(
        self, endpoint: str, since: float, until: float, step: float, entity: str | None = None
    ) -> Sequence[SeriesPoint]:
        """The points of an endpoint, or of one of its served entities, from `since` to `until`, oldest first.

        Each is `step` seconds wide and begins at a multiple of it; `resolution` has the steps that are kept. Times of
        which nothing is known are left out; times in which nothing happened have an empty point.
        """
        ...

    async def entities(self, endpoint: str, since: float, until: float) -> Sequence[str]:
        """The served entities with points in this time, the newest last, without WHOLE."""
        ...

    def now(self, endpoint: str) -> SeriesPoint:
        """The last 10 whole seconds of an endpoint, as one point. Empty for an unknown endpoint."""
        ...

    def fleet(self) -> Mapping[str, SeriesPoint]:
        """The last 60 s of every endpoint that did anything in them, each as one point."""
        ...

    def sparkline(self, endpoint: str) -> Sequence[float]:
        """Requests per second in each of the last 60 minutes, oldest first."""
        ...

    def why(self, endpoint: str) -> Mapping[str, str]:
        """Why each served entity has as many replicas as it has, as the autoscaler last said. Without those that have
        not been scaled.
        """
        ...


def resolution(span: float) -> float:
    """The width of a point, seconds, for a chart over this time: at most 720 points, and what is kept.

    15 minutes are kept by the second, a day by the minute, and 14 days by the quarter of an hour.
    """
    for longest, step in ((300, 1), (900, 5), (6 * 3600, 60), (24 * 3600, 300), (7 * 86400, 900)):
        if span <= longest:
            return float(step)
    return 1800.0
