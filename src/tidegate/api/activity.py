"""What endpoints do now, and their series: what `tidegate top` shows, and what scripts draw."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from tidegate.control.endpoints.endpoint_queries import EndpointQueries
from tidegate.control.endpoints.endpoint_summary import need_of, state_of, version_of
from tidegate.control.endpoints.endpoint_views import EndpointView
from tidegate.control.series.series import Series, resolution
from tidegate.core.errors import InvalidParameter
from tidegate.core.series.latency_histogram import Histogram, quantiles
from tidegate.core.series.series_point import STEPS, SeriesPoint

_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_LONGEST = 14 * 86400.0
_MOST_POINTS = 1000


def activity(endpoints: EndpointQueries, series: Series) -> APIRouter:
    """The routes over the series."""
    router = APIRouter(tags=["tidegate"])

    @router.get("/api/tidegate/v1/activity")
    async def all_activity() -> JSONResponse:
        views, fleet = await endpoints.seen(), series.fleet()
        return await asyncio.to_thread(_all, views, fleet)

    @router.get("/api/tidegate/v1/endpoints/{name}/series")
    async def points(
        name: str,
        minutes: float = 60.0,
        until: float | None = None,
        step: float | None = None,
        entity: str | None = None,
    ) -> JSONResponse:
        await endpoints.get(name)
        end, span = _end(series.now(name)) if until is None else until, minutes * 60
        width = resolution(span) if step is None else step
        _check(end, span, width)
        found = await series.points(name, end - span, end, width, entity)
        return await asyncio.to_thread(_series, name, width, found)

    return router


def _end(point: SeriesPoint) -> float:
    return point.at + point.seconds


def _check(end: float, span: float, step: float) -> None:
    if not 0 < span <= _LONGEST:
        raise InvalidParameter(f"minutes must be above 0, and at most {_LONGEST / 60:.0f}, which is 14 days.")
    if not 1 <= step <= _LONGEST or span / step > _MOST_POINTS:
        raise InvalidParameter(f"step must be from 1 s to 14 days, and give at most {_MOST_POINTS} points.")
    if not math.isfinite(end):
        raise InvalidParameter("until must be a number: seconds since 1970.")


def _all(views: Sequence[EndpointView], fleet: Mapping[str, SeriesPoint]) -> JSONResponse:
    nothing = SeriesPoint(0.0, 60.0)
    return JSONResponse({"endpoints": [_activity(view, fleet.get(view.endpoint.name, nothing)) for view in views]})


def _activity(view: EndpointView, point: SeriesPoint) -> dict[str, Any]:
    """An endpoint's last minute."""
    return {
        "name": view.endpoint.name,
        "state": state_of(view),
        "version": version_of(view),
        "needs": need_of(view),
        "replicas": view.status.replicas,
        **_figures(point),
    }


def _figures(point: SeriesPoint) -> dict[str, Any]:
    answers = point.requests
    return {
        "requests_per_second": answers / point.seconds if point.seconds else 0.0,
        **_latencies(point.latency),
        "error_share": point.of_class(5) / answers if answers else 0.0,
        "steps_ms": {
            step: seconds / point.stepped * 1000 if point.stepped else 0.0
            for step, seconds in zip(STEPS, point.steps, strict=True)
        },
        "queued": point.queued,
        "cold_starts": point.cold_starts,
    }


def _latencies(histogram: Histogram) -> dict[str, float | None]:
    found = quantiles(histogram, _SHARES.values())
    return {
        f"{name}_ms": None if seconds is None else seconds * 1000 for name, seconds in zip(_SHARES, found, strict=True)
    }


def _series(name: str, step: float, points: Sequence[SeriesPoint]) -> JSONResponse:
    return JSONResponse({"endpoint": name, "step_seconds": step, "points": [_point(point) for point in points]})


def _point(point: SeriesPoint) -> dict[str, Any]:
    return {
        "at": point.at,
        "seconds": point.seconds,
        "gap": point.gap,
        "statuses": {str(status): count for status, count in sorted(point.statuses.items())},
        **_figures(point),
        "ready": point.ready,
        "wanted": point.wanted,
        "memory_bytes": point.memory_bytes,
        "cpu_seconds": point.cpu_seconds,
    }
