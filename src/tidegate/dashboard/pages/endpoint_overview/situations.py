"""What is known of an endpoint at the moment, gathered for all who look at it.

What changes by the second is read from memory each time it is asked for. What needs the store, or a long stretch of the
series, is read once a minute, and at once when the endpoint or its number of replicas changes.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.control.endpoints.endpoint_summary import state_of, version_of
from tidegate.control.endpoints.endpoint_views import EndpointView, RunningView
from tidegate.control.series.series import COMES_IN
from tidegate.core.rollout.switch import Switch
from tidegate.core.series.series_point import SeriesPoint, added
from tidegate.dashboard.pages.endpoint.endpoint_frame import config_text
from tidegate.dashboard.pages.endpoint_overview.diagnosis import Finding, Situation, diagnosis
from tidegate.dashboard.site import Sources
from tidegate.ports import Event

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
RECENT, _STEP = 300.0, 5.0
# The stretch that the last minutes are compared with.
_COMPARED = 600.0
# So long the series are kept by the second, less a look's age.
_BY_THE_SECOND = 840.0
# A situation is looked at again after this many seconds, and later by one for every so many endpoints that are looked
# at: a look costs some 3 ms of CPU.
_LOOKS_EVERY, _FOR_EACH = 5.0, 40
# An event of a machine without memory counts for so long, seconds.
_CAPACITY_SECONDS = 900.0
# Endpoints whose slow part is kept.
_MOST = 200


@dataclass(frozen=True, slots=True)
class Past:
    """What is read once a minute."""

    at: float  # unix seconds
    key: tuple[int, RunningView]
    switches: tuple[Switch, ...] = ()
    events: tuple[Event, ...] = ()
    hour_ago: SeriesPoint | None = None
    before: SeriesPoint | None = None
    kept_until: float | None = None  # of the parked replicas
    day: SeriesPoint = field(default_factory=lambda: SeriesPoint(0.0, DAY))

    @property
    def no_room(self) -> str:
        """The sentence of a machine that had no memory for a replica lately; empty where it had."""
        full = [event for event in self.events if event.kind == "no_capacity"]
        return full[-1].message if full and self.at - full[-1].at < _CAPACITY_SECONDS else ""


@dataclass(frozen=True, slots=True)
class Seen:
    """A situation, its diagnosis, and the past that it was compared with."""

    situation: Situation
    findings: tuple[Finding, ...]
    past: Past


@dataclass(frozen=True, slots=True)
class _Look:
    at: float  # monotonic seconds
    version: int  # the endpoint's resource_version
    task: asyncio.Task[Seen]


class Situations:
    """Gathers situations. Readers of the same endpoint share a look, which stays for some seconds."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._pasts: dict[str, Past] = {}
        self._looks: dict[str, _Look] = {}

    async def of(self, view: EndpointView) -> Seen:
        """The situation of an endpoint, some seconds old at most; a changed endpoint is looked at again at once."""
        now, endpoint = self._sources.clock.monotonic(), view.endpoint
        known, stays = self._looks.get(endpoint.name), _LOOKS_EVERY + len(self._looks) / _FOR_EACH
        if known is None or known.version != endpoint.resource_version or not 0 <= now - known.at < stays:
            self._looks = {name: look for name, look in self._looks.items() if now - look.at < 2 * stays}
            known = _Look(now, endpoint.resource_version, asyncio.create_task(self._look(view)))
            self._looks[endpoint.name] = known
        return await asyncio.shield(known.task)

    async def _look(self, view: EndpointView) -> Seen:
        sources, endpoint, now = self._sources, view.endpoint, self._sources.clock.now()
        running = sources.endpoints.running(endpoint)
        past = await self._past(view, running, now)
        recent = await sources.series.points(endpoint.name, now - RECENT, (now - COMES_IN) // _STEP * _STEP, _STEP)
        why = why_text(sources.series.why(endpoint.name))
        return await asyncio.to_thread(_judge, view, running, past, recent, now, why)

    async def _past(self, view: EndpointView, running: RunningView, now: float) -> Past:
        endpoint = view.endpoint
        key, known = (endpoint.resource_version, running), self._pasts.pop(endpoint.name, None)
        if known is None or known.key != key or not 0 <= now - known.at < MINUTE:
            known = await self._read(view, key, now)
        self._pasts[endpoint.name] = known  # the newest is last
        while len(self._pasts) > _MOST:
            del self._pasts[next(iter(self._pasts))]
        return known

    async def _read(self, view: EndpointView, key: tuple[int, RunningView], now: float) -> Past:
        endpoints, series, name = self._sources.endpoints, self._sources.series, view.endpoint.name
        switched = await endpoints.switches(name)
        switches = switched.switches
        events = await endpoints.events(name)
        first = view.endpoint.created_at
        about = now - HOUR
        hour_ago = await self._stretch(name, about - _COMPARED / 2, about + _COMPARED / 2, first)
        newest = switches[-1] if switches else None
        before = await self._before(name, newest.at, first, now) if newest else ()
        day = await series.points(name, max(first, now - DAY), now, 300.0)
        kept_until = switched.kept_until

        def past() -> Past:
            total = whole(day) or SeriesPoint(now - DAY, DAY)
            return Past(now, key, switches, events, whole(hour_ago), whole(before), kept_until, total)

        return await asyncio.to_thread(past)

    async def _before(self, name: str, switched: float, first: float, now: float) -> Sequence[SeriesPoint]:
        """The points before a switch: none has a request from after it, which may be far slower than all the others."""
        step = _STEP if now - switched < _BY_THE_SECOND else MINUTE
        return await self._stretch(name, switched - _COMPARED, switched // step * step, first, step)

    async def _stretch(
        self, name: str, since: float, until: float, first: float, step: float = MINUTE
    ) -> Sequence[SeriesPoint]:
        since = max(since, first)
        return await self._sources.series.points(name, since, until, step) if until - since >= step else ()


def _judge(
    view: EndpointView, running: RunningView, past: Past, recent: Sequence[SeriesPoint], now: float, why: str
) -> Seen:
    total = whole(recent) or SeriesPoint(now - RECENT, RECENT)
    newest = past.switches[-1] if past.switches else None
    since = whole([point for point in recent if point.at >= newest.at]) if newest and now - newest.at < RECENT else None
    situation = situation_of(view, running, past, total, now, why, since)
    return Seen(situation, diagnosis(situation), past)


def situation_of(
    view: EndpointView,
    running: RunningView,
    past: Past,
    recent: SeriesPoint,
    now: float,
    why: str,
    since_switch: SeriesPoint | None = None,
) -> Situation:
    """The situation of an endpoint by what was read of it. `since_switch` is the part of `recent` after a switch."""
    endpoint, failed = view.endpoint, view.endpoint.failed
    return Situation(
        now=now,
        state=state_of(view),
        version=version_of(view),
        message=view.status.message,
        held_back=failed.message if failed is not None and failed.report else "",
        failed=failed.message if failed is not None and not failed.report else "",
        pending=config_text(endpoint.pending.config) if endpoint.pending else "",
        running=running,
        recent=recent,
        since_switch=since_switch,
        hour_ago=past.hour_ago,
        switch=past.switches[-1] if past.switches else None,
        before=past.before,
        day=past.day,
        why=why,
        no_room=past.no_room,
    )


def why_text(reasons: Mapping[str, str]) -> str:
    """The autoscaler's reasons as a sentence, with the served entities where there are several."""
    if len(reasons) > 1:
        return "; ".join(f"{entity}: {reason}" for entity, reason in sorted(reasons.items())) + "."
    return next((f"{reason[:1].upper()}{reason[1:]}." for reason in reasons.values() if reason), "")


def whole(points: Sequence[SeriesPoint]) -> SeriesPoint | None:
    """The sum of points, one after the other; None where there is none."""
    return added(*points) if points else None
