"""Each endpoint's minutes, as the older products' APIs tell them. They are those of the series."""

from collections.abc import Sequence
from dataclasses import replace

from tidegate.control.series.series import Series
from tidegate.core.scaling.minute import MinutePoint, minute_point
from tidegate.core.series.series_point import SeriesPoint, beside
from tidegate.ports import Clock

MINUTE = 60.0


class MinuteHistory:
    """Reads the series by the minute. What came in a gap counts in the minute at whose time control was back."""

    def __init__(self, series: Series, clock: Clock, cores: int) -> None:
        self._series, self._clock, self._cores = series, clock, cores

    async def points(self, endpoint: str, since: float, until: float) -> tuple[MinutePoint, ...]:
        """The known minutes of an endpoint from `since` to `until`, unix seconds.

        The last may be the minute under way. The minutes of an unknown endpoint are empty.
        """
        return (await self.points_of([endpoint], since, until))[0]

    async def points_of(
        self, endpoints: Sequence[str], since: float, until: float
    ) -> tuple[tuple[MinutePoint, ...], ...]:
        """The known minutes of each of these endpoints, as `points` has them."""
        return tuple([await self._points(name, since, until) for name in endpoints])

    async def _points(self, endpoint: str, since: float, until: float) -> tuple[MinutePoint, ...]:
        now = self._clock.now()
        found: dict[float, SeriesPoint] = {}
        for point in await self._series.points(endpoint, since // MINUTE * MINUTE, until + 1e-3, MINUTE):
            at = (point.at + max(0.0, point.seconds - MINUTE)) // MINUTE * MINUTE
            own = replace(point, at=at, seconds=MINUTE)
            found[at] = beside(found[at], own) if at in found else own
        ended = {at: min(MINUTE, now - at) for at in found}
        return tuple(minute_point(found[at], ended[at], self._cores) for at in sorted(found))
