"""Endpoints whose series tell a story, for the preview and for the tests of pages: `await add_busy_endpoints(web)`."""

import json
from collections.abc import Callable
from dataclasses import replace

from tests.control.house import an_entity
from tests.dashboard.web_house import WebHouse
from tidegate.core.endpoint.served_entity import ModelVersion
from tidegate.core.rollout.switch import Side, Switch
from tidegate.core.series.latency_histogram import bucket_of, middle
from tidegate.core.series.series_point import SeriesPoint
from tidegate.ports import Event


async def add_busy_endpoints(web: WebHouse) -> None:
    """Add `slow`, `failing`, `restarted` and `sleeper`; all are looked at eight hours after they began."""
    await web.ready("slow", "failing", "restarted")
    await web.house.create("sleeper", replace(an_entity(), scale_to_zero_enabled=True))
    web.house.clock.advance(8 * 3600.0)
    now = web.house.clock.now()
    for name in ("slow", "failing", "restarted"):
        web.series.rates[name] = 40.0
    switch_at = now - 720
    web.series.shapes |= {
        "slow": _slower(switch_at, 0.031),
        "failing": _failing(now - 400),
        "restarted": _with_gap(now),
        "sleeper": _sleeping,
    }
    web.series.rates["sleeper"] = 0.5
    await _switched(web, "slow", switch_at, "passed")
    await _switched(web, "failing", now - 400, "forced")
    web.house.control.wakeups.changed()


async def _switched(web: WebHouse, name: str, at: float, verdict: str) -> None:
    """A switch of an endpoint from version 6 to version 7, with what happened around it."""
    endpoint = (await web.house.endpoints.get(name)).endpoint
    old, new = (Side(number, {"wine": ModelVersion("wine", str(number + 5))}) for number in (1, 2))
    switch = Switch(endpoint.id, at, "anna", old, new, json.dumps({"verdict": verdict}))
    await web.house.store.save_endpoint(endpoint, switch)
    web.series.reasons[name] = {"wine-1": "3 requests wait, the oldest for 0.40 s"}
    for event in (
        Event(endpoint.id, at - 900, "evicted", "Idle for 60 s: it made room (181 MB). The next request wakes it."),
        Event(endpoint.id, at - 45, "update_started", f"{new} is being prepared."),
    ):
        await web.house.store.add_event(event)


def _slower(since: float, seconds: float) -> Callable[[SeriesPoint], SeriesPoint]:
    def shape(point: SeriesPoint) -> SeriesPoint:
        if point.at < since or not point.stepped:
            return point
        steps = list(point.steps)
        steps[3] += seconds * point.stepped
        latency = {bucket_of(middle(bucket) + seconds): count for bucket, count in point.latency.items()}
        return replace(point, steps=tuple(steps), latency=latency)

    return shape


def _failing(since: float) -> Callable[[SeriesPoint], SeriesPoint]:
    def shape(point: SeriesPoint) -> SeriesPoint:
        if point.at < since:
            return point
        failed = point.requests // 8
        return replace(point, statuses={200: point.requests - failed, 500: failed})

    return shape


def _with_gap(now: float) -> Callable[[SeriesPoint], SeriesPoint]:
    def shape(point: SeriesPoint) -> SeriesPoint:
        return replace(point, gap=True) if now - 1500 < point.at < now - 1300 else point

    return shape


def _sleeping(point: SeriesPoint) -> SeriesPoint:
    awake = point.at % 7200 < 1800
    if not awake:
        return SeriesPoint(point.at, point.seconds)
    if point.at % 7200 < 60:
        phases = {"queue": 0.002, "template": 0.006, "load": 0.018, "first": 0.004, "total": 0.03}
        return replace(point, cold_starts=1, cold={f"fork {name}": (1, spent) for name, spent in phases.items()})
    return point
