"""The values of the list of endpoints that change while it is looked at."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from tidegate.control.endpoints.endpoint_summary import state_of
from tidegate.control.endpoints.endpoint_views import EndpointView
from tidegate.core.series.latency_histogram import quantile
from tidegate.core.series.series_point import SeriesPoint, all_beside
from tidegate.dashboard import formats
from tidegate.dashboard.pages.endpoint_list import needs_print


class EndpointValues:
    """What the rows and the tiles of the list say, computed once a tick for all readers, in a thread."""

    def __init__(
        self, fleet: Callable[[], Mapping[str, SeriesPoint]], views: Callable[[], Awaitable[Sequence[EndpointView]]]
    ) -> None:
        self._fleet_now, self._views_now = fleet, views
        self._tick = -1
        self._taking: asyncio.Task[None] | None = None
        self._fleet: Mapping[str, SeriesPoint] = {}
        self._views: Mapping[str, EndpointView] = {}
        self._rows: dict[str, dict[str, str]] = {}
        self._total: dict[str, str] = {}
        self.needs = ""
        """The digest of what needs somebody, as of the newest tick."""

    async def of(self, tick: int, names: Sequence[str]) -> dict[str, str]:
        """The values of these rows, and those of the tiles."""
        if tick != self._tick or self._taking is None:
            self._tick, self._taking = tick, asyncio.create_task(self._take())
        await asyncio.shield(self._taking)
        found = dict(self._total)
        for name in names:
            if name not in self._rows:
                self._rows[name] = self._row(name)
            found |= self._rows[name]
        return found

    async def _take(self) -> None:
        fleet, views = self._fleet_now(), {view.endpoint.name: view for view in await self._views_now()}
        self._fleet, self._views, self._rows = fleet, views, {}
        self._total, self.needs = await asyncio.to_thread(lambda: (self._tiles(), needs_print(views.values())))

    def _tiles(self) -> dict[str, str]:
        total = all_beside((point for point in self._fleet.values() if point.requests), 0.0, 60.0)
        asleep = sum(state_of(view) == "asleep" for view in self._views.values())
        return {
            "rate": formats.rate(total.requests / 60),
            "p99": formats.milliseconds(quantile(total.latency, 0.99)),
            "errors": formats.percent(total.of_class(5) / total.requests if total.requests else 0.0),
            "asleep": formats.count(asleep),
        }

    def _row(self, name: str) -> dict[str, str]:
        view, point = self._views.get(name), self._fleet.get(name) or SeriesPoint(0.0, 60.0)
        return {
            f"{name}/state": state_of(view) if view else "deleted",
            f"{name}/rate": formats.rate(point.requests / point.seconds),
            f"{name}/p50": formats.milliseconds(quantile(point.latency, 0.5)),
            f"{name}/p99": formats.milliseconds(quantile(point.latency, 0.99)),
            f"{name}/errors": formats.percent(point.of_class(5) / point.requests if point.requests else 0.0),
            f"{name}/replicas": formats.count(view.status.replicas if view else 0),
        }
