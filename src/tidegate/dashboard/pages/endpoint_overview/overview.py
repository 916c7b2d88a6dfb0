"""The overview of an endpoint: what it does now, why, where a request's time goes, and the charts.

The charts are a part of the page of their own, which the script asks for again: each minute, and when one zooms.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidegate.control.endpoints.endpoint_views import EndpointView
from tidegate.core.series.series_point import SeriesPoint
from tidegate.dashboard.charts.chart_data import Mark, as_csv, compact, with_breaks
from tidegate.dashboard.charts.chart_view import ChartView, chart_views
from tidegate.dashboard.charts.endpoint_charts import Limits, charts
from tidegate.dashboard.pages.endpoint.endpoint_frame import framed, path_of
from tidegate.dashboard.pages.endpoint_overview.diagnosis_words import STEP_TEXTS
from tidegate.dashboard.pages.endpoint_overview.overview_parts import (
    LEDGER,
    Goes,
    Saving,
    goes,
    ledger_values,
    marks,
    saving,
    serving,
    tile_values,
)
from tidegate.dashboard.pages.endpoint_overview.situations import Seen, Situations, whole
from tidegate.dashboard.pages.endpoint_overview.time_range import RANGES, TimeRange, time_range
from tidegate.dashboard.site import Site
from tidegate.settings import DashboardSettings


@dataclass(frozen=True, slots=True)
class ChartsPart:
    """The view model of the charts: those of `range`, and the served entities that one can choose."""

    range: TimeRange
    entities: tuple[str, ...]
    goes: Goes | None
    charts: tuple[ChartView, ...]
    marks: tuple[Mark, ...]
    data: dict[str, Any]  # for the script
    saving: Saving | None
    newest: float  # the begin of the newest point, unix seconds


def charts_part(
    seen: Seen, chosen: TimeRange, points: Sequence[SeriesPoint], entities: Sequence[str], prices: DashboardSettings
) -> ChartsPart:
    """The charts of a range. CPU: some 0.1 s at most; call it in a thread."""
    running = seen.situation.running
    flags = marks(seen.past.switches, seen.past.events, chosen.since, chosen.until)
    drawn = with_breaks(points)
    limits = Limits(running.memory_limit, seen.situation.why, is_parked=seen.past.kept_until is not None)
    found, views = chart_views(drawn, limits, flags, chosen.since, chosen.until)
    total = whole(points) or SeriesPoint(chosen.since, chosen.seconds)
    return ChartsPart(
        chosen,
        tuple(entities),
        goes(total),
        views,
        flags,
        compact(found, drawn, flags, chosen.since, chosen.until),
        None if chosen.entity else saving(points, running.least, prices),
        points[-1].at if points else chosen.until,
    )


def routes(site: Site, situations: Situations) -> list[Route]:
    """The routes of the page, of its charts alone (for the script), and of the series as CSV."""
    sources = site.sources

    async def read(view: EndpointView, request: Request) -> tuple[TimeRange, Sequence[SeriesPoint], Sequence[str]]:
        name = view.endpoint.name
        chosen = time_range(request.query_params, sources.clock.now(), view.endpoint.created_at)
        entities = await sources.series.entities(name, chosen.since, chosen.until)
        entity = chosen.entity or None
        points = await sources.series.points(name, chosen.since, chosen.until, chosen.step, entity)
        return chosen, points, entities

    async def show(request: Request) -> Response:
        name = request.path_params["name"]
        view, values = await framed(site, name, "Overview")
        seen = await situations.of(view)
        chosen, points, entities = await read(view, request)

        def page() -> Response:
            shown = charts_part(seen, chosen, points, entities, site.chosen)
            following = chosen.query(after=int(shown.newest) if chosen.live else 0)
            running, lately = seen.situation.running, seen.situation.lately
            whole_page = values | {
                "part": shown,
                "ranges": tuple(RANGES),
                "findings": seen.findings,
                "why": seen.situation.why,
                "tiles": tile_values(lately, sources.series.now(name), running, seen.past.day),
                "running": running,
                "ledger": ledger_values(sources.metrics.ledger(name)),
                "ledger_words": LEDGER,
                "step_texts": STEP_TEXTS,
                "serving": serving(view),
                "now": sources.clock.now(),
                "stream": f"/live{path_of(name)}?{following}",
            }
            if request.headers.get("hx-request"):
                return site.fragment("endpoint_charts.html", whole_page)
            return site.page(request, "endpoint_overview.html", whole_page, section="Endpoints")

        return await asyncio.to_thread(page)

    async def table(request: Request) -> Response:
        view = await sources.endpoints.get(request.path_params["name"])
        _, points, _ = await read(view, request)
        key = request.query_params.get("chart", "")

        def text() -> str:
            found = charts(points, Limits(sources.endpoints.running(view.endpoint).memory_limit))
            return as_csv([chart for chart in found if key in ("", chart.key)], points)

        name = f"{view.endpoint.name}-{key if key.isascii() and key.isalpha() else 'series'}.csv"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(await asyncio.to_thread(text), media_type="text/csv", headers=headers)

    return [Route("/endpoints/{name}", show), Route("/endpoints/{name}/series.csv", table)]
