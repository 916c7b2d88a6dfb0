"""What an endpoint's overview shows that changes by the second, composed once a tick for all who look at it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.control.endpoints.endpoint_views import EndpointView
from tidegate.control.series.series import COMES_IN
from tidegate.dashboard.charts.chart_data import row_event
from tidegate.dashboard.charts.endpoint_charts import Limits, charts, statuses_of
from tidegate.dashboard.live.event_stream import Compose, changed, event
from tidegate.dashboard.pages.endpoint.endpoint_frame import frame_of, frame_values, print_of
from tidegate.dashboard.pages.endpoint_overview.overview_parts import ledger_values, tile_values
from tidegate.dashboard.pages.endpoint_overview.situations import Seen, Situations
from tidegate.dashboard.pages.endpoint_overview.time_range import LIVE, TimeRange
from tidegate.dashboard.site import Sources

REFRESH_TICKS = 60


@dataclass(frozen=True, slots=True)
class Texts:
    """The live texts of a page, and what each of its parts is made by: a part whose shape changes is made anew."""

    values: Mapping[str, str]
    shapes: Mapping[str, object]


class EndpointNow:
    """Composes the messages of the streams of single endpoints. Readers of the same thing share one task a tick."""

    def __init__(self, sources: Sources, situations: Situations) -> None:
        self._sources, self._situations = sources, situations
        self._tick = -1
        self._texts: dict[str, asyncio.Task[Texts]] = {}
        self._points: dict[tuple[str, str, float, float], asyncio.Task[tuple[bytes, float]]] = {}

    def messages(self, name: str, chosen: TimeRange, after: float) -> Compose:
        """The messages for one reader. `after` is the begin of the newest point that he has, unix seconds."""
        sent: dict[str, str] = {}
        shapes: dict[str, object] = {}
        newest, ticks = max(after, self._sources.clock.now() - LIVE), 0

        async def compose(tick: int) -> bytes:
            nonlocal newest, ticks
            ticks += 1
            texts = await self._texts_of(tick, name)
            message = changed(texts.values, sent)
            anew = [part for part, shape in texts.shapes.items() if shapes.get(part, shape) != shape]
            shapes.update(texts.shapes)
            if chosen.live:
                points, newest = await self._points_of(tick, name, chosen, newest)
                message += points
            if ticks % REFRESH_TICKS == 0 and "charts" not in anew:
                anew.append("charts")
            return message + (event("refresh", anew) if anew else b"")

        return compose

    async def _texts_of(self, tick: int, name: str) -> Texts:
        self._turn(tick)
        if name not in self._texts:
            self._texts[name] = asyncio.create_task(self._take_texts(name))
        return await asyncio.shield(self._texts[name])

    async def _points_of(self, tick: int, name: str, chosen: TimeRange, newest: float) -> tuple[bytes, float]:
        self._turn(tick)
        key = (name, chosen.entity, chosen.step, newest)
        if key not in self._points:
            self._points[key] = asyncio.create_task(self._take_points(name, chosen, newest))
        return await asyncio.shield(self._points[key])

    def _turn(self, tick: int) -> None:
        if tick != self._tick:
            self._tick, self._texts, self._points = tick, {}, {}

    async def _take_texts(self, name: str) -> Texts:
        view = self._sources.endpoints.known(name)
        if view is None:
            return Texts({"state": "deleted"}, {})
        return self._compose(view, await self._situations.of(view))

    def _compose(self, view: EndpointView, seen: Seen) -> Texts:
        name, situation, sources = view.endpoint.name, seen.situation, self._sources
        shown = frame_of(view, seen.past.kept_until, sources.clock.now())
        running = sources.endpoints.running(view.endpoint)
        values = {
            **frame_values(shown),
            **tile_values(situation.lately, sources.series.now(name), running, seen.past.day),
            **ledger_values(sources.metrics.ledger(name)),
            "diagnosis": seen.findings[0].sentence,
            "why": situation.why,
        }
        findings = tuple((finding.kind, finding.tab) for finding in seen.findings)
        return Texts(values, {"head": print_of(view), "charts": findings})

    async def _take_points(self, name: str, chosen: TimeRange, newest: float) -> tuple[bytes, float]:
        until, step = self._sources.clock.now() - COMES_IN, chosen.step
        first = newest + step
        if until < first + step:
            return b"", newest
        points = await self._sources.series.points(name, first, until // step * step, step, chosen.entity or None)
        points = [point for point in points if point.at > newest]
        if not points:
            return b"", newest
        rows = row_event(charts(points, Limits(statuses=statuses_of(points))), points)
        return event("points", rows), points[-1].at
