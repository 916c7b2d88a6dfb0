"""What an endpoint's overview shows that changes by the second, composed once a tick for all who look at it."""

import asyncio

from tidegate.control.endpoints.endpoint_views import EndpointView
from tidegate.dashboard.charts.chart_data import row_event
from tidegate.dashboard.charts.endpoint_charts import Limits, charts, statuses_of
from tidegate.dashboard.live.event_stream import Compose, changed, event
from tidegate.dashboard.pages.endpoint.endpoint_frame import frame_of, frame_values
from tidegate.dashboard.pages.endpoint.overview_parts import ledger_values, tile_values
from tidegate.dashboard.pages.endpoint.situations import Seen, Situations
from tidegate.dashboard.pages.endpoint.time_range import LIVE, TimeRange
from tidegate.dashboard.site import Sources

REFRESH_TICKS = 60


class EndpointNow:
    """Composes the messages of the streams of single endpoints. Readers of the same thing share one task a tick."""

    def __init__(self, sources: Sources, situations: Situations) -> None:
        self._sources, self._situations = sources, situations
        self._tick = -1
        self._values: dict[str, asyncio.Task[dict[str, str]]] = {}
        self._points: dict[tuple[str, str, float, float], asyncio.Task[tuple[bytes, float]]] = {}

    def messages(self, name: str, chosen: TimeRange, after: float) -> Compose:
        """The messages for one reader. `after` is the begin of the newest point that he has, unix seconds."""
        sent: dict[str, str] = {}
        newest, ticks = max(after, self._sources.clock.now() - LIVE), 0

        async def compose(tick: int) -> bytes:
            nonlocal newest, ticks
            ticks += 1
            message = changed(await self._values_of(tick, name), sent)
            if chosen.live:
                points, newest = await self._points_of(tick, name, chosen, newest)
                message += points
            return message + (event("refresh", ["charts"]) if ticks % REFRESH_TICKS == 0 else b"")

        return compose

    async def _values_of(self, tick: int, name: str) -> dict[str, str]:
        self._turn(tick)
        if name not in self._values:
            self._values[name] = asyncio.create_task(self._take_values(name))
        return await asyncio.shield(self._values[name])

    async def _points_of(self, tick: int, name: str, chosen: TimeRange, newest: float) -> tuple[bytes, float]:
        self._turn(tick)
        key = (name, chosen.entity, chosen.step, newest)
        if key not in self._points:
            self._points[key] = asyncio.create_task(self._take_points(name, chosen, newest))
        return await asyncio.shield(self._points[key])

    def _turn(self, tick: int) -> None:
        if tick != self._tick:
            self._tick, self._values, self._points = tick, {}, {}

    async def _take_values(self, name: str) -> dict[str, str]:
        view = self._sources.endpoints.known(name)
        if view is None:
            return {"state": "deleted"}
        return self._texts(view, await self._situations.of(view))

    def _texts(self, view: EndpointView, seen: Seen) -> dict[str, str]:
        name, situation, sources = view.endpoint.name, seen.situation, self._sources
        return {
            **frame_values(frame_of(view, seen.past.kept_until, sources.clock.now())),
            **tile_values(situation.recent, sources.series.now(name), situation.running, seen.past.day),
            **ledger_values(sources.metrics.ledger(name)),
            "diagnosis": seen.findings[0].sentence,
            "why": situation.why,
        }

    async def _take_points(self, name: str, chosen: TimeRange, newest: float) -> tuple[bytes, float]:
        now, step = self._sources.clock.now(), chosen.step
        first = newest + step
        if now < first + step:
            return b"", newest
        points = await self._sources.series.points(name, first, now, step, chosen.entity or None)
        points = [point for point in points if point.at > newest]
        if not points:
            return b"", newest
        rows = row_event(charts(points, Limits(statuses=statuses_of(points))), points)
        return event("points", rows), points[-1].at
