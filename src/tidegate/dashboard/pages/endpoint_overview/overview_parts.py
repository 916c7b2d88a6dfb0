"""The parts of an endpoint's overview: tiles, where a request's time goes, marks, ledger, savings, how it serves."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.control.endpoints.endpoint_views import EndpointView, RunningView
from tidegate.core.endpoint.revision import revision_ids
from tidegate.core.planes.account import Account
from tidegate.core.rollout.switch import Switch
from tidegate.core.series.latency_histogram import quantile
from tidegate.core.series.series_point import STEPS, SeriesPoint
from tidegate.dashboard import formats
from tidegate.dashboard.charts.chart_data import Mark
from tidegate.dashboard.stacked_bar import Part, stacked
from tidegate.ports import Event
from tidegate.settings import DashboardSettings

_VERDICTS = {"passed": "passed the gate", "forced": "was forced past the gate"}
_EVENT_MARKS = {"evicted": "eviction", "update_started": "build"}
MOST_MARKS = 40
"""Marks that are drawn at most; of more, the newest."""


@dataclass(frozen=True, slots=True)
class Goes:
    """Where a request's time goes: a bar of the means of the steps, in seconds, over so many answers."""

    bar: tuple[Part, ...]
    answered: int


def goes(point: SeriesPoint) -> Goes | None:
    """Where the time of the requests of a point went; None where nothing was answered."""
    if not point.stepped or not sum(point.steps):
        return None
    means = [(name, seconds / point.stepped) for name, seconds in zip(STEPS, point.steps, strict=True)]
    return Goes(stacked(means), point.stepped)


def tile_values(lately: SeriesPoint, now: SeriesPoint, running: RunningView, day: SeriesPoint) -> dict[str, str]:
    """The values of the tiles, by the key of their live text. `now` is the last ten seconds.

    `lately` is five minutes, or what of them is the newest version's; `span` says how long that is.
    """
    errors = lately.of_class(5) / lately.requests if lately.requests else 0.0
    return {
        "rate": formats.rate(now.requests / now.seconds if now.seconds else 0.0),
        "p50": formats.milliseconds(quantile(lately.latency, 0.5)),
        "p99": formats.milliseconds(quantile(lately.latency, 0.99)),
        "errors": formats.percent(errors),
        "span": formats.duration(lately.seconds),
        "ready": formats.count(running.ready),
        "wanted": formats.count(running.wanted),
        "cold": formats.count(day.cold_starts),
    }


# --- the ledger

LEDGER: Mapping[str, str] = {
    "answered": "answered",
    "rejected": "refused",
    "timed_out": "timed out",
    "client_gone": "gone",
    "lost": "lost",
    "under_way": "under way",
}
"""What becomes of an accepted request, and the word for it."""


def ledger_values(account: Account) -> dict[str, str]:
    """The ledger's numbers by the key of their live text, and whether it balances.

    A request is counted when it comes and again when it ends. What has come and not ended is under way; less than
    nothing cannot be, and shows that something was counted twice.
    """
    counts = {
        "accepted": account.accepted,
        "answered": account.answered,
        "rejected": account.rejected,
        "timed_out": account.timed_out,
        "client_gone": account.client_gone,
        "lost": account.lost,
        "under_way": account.in_flight,
    }
    verdict = "balances" if account.in_flight >= 0 else "does not balance"
    return {f"ledger/{key}": formats.count(number) for key, number in counts.items()} | {"ledger/verdict": verdict}


# --- marks


def marks(switches: Iterable[Switch], events: Iterable[Event], since: float, until: float) -> tuple[Mark, ...]:
    """Roll-outs, builds and evictions in this time, oldest first; the newest MOST_MARKS of them."""
    found = [Mark(switch.at, "switch", _switch_text(switch)) for switch in switches]
    found += [Mark(event.at, _EVENT_MARKS[event.kind], event.message) for event in events if event.kind in _EVENT_MARKS]
    inside = sorted((mark for mark in found if since <= mark.at <= until), key=lambda mark: mark.at)
    return tuple(inside[-MOST_MARKS:])


def _switch_text(switch: Switch) -> str:
    by = f" By {switch.by}." if switch.kind == "promoted" and switch.by else ""
    verdict = _VERDICTS.get(str(_report(switch.report).get("verdict", "")), "")
    return f"{switch.sentence}{by}{f' It {verdict}.' if verdict else ''}"


def _report(text: str) -> dict[str, Any]:
    try:
        report = json.loads(text) if text else {}
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


# --- what sleeping saved


@dataclass(frozen=True, slots=True)
class Saving:
    """Memory that an endpoint did not take while it slept.

    `gb_hours` is the usual memory of a replica times the time asleep; None where that memory is not known.
    """

    asleep_seconds: float
    gb_hours: float | None
    money: str = ""


def saving(points: Sequence[SeriesPoint], least: int, chosen: DashboardSettings) -> Saving | None:
    """What sleeping saved in these points; None where the endpoint may not sleep or did not."""
    if least:
        return None
    asleep = sum(point.seconds for point in points if point.ready < 0.5 and not point.gap)
    awake = [point for point in points if point.ready >= 0.5 and point.memory_bytes]
    if not asleep:
        return None
    if not awake:
        return Saving(asleep, None)
    ready = sum(point.ready * point.seconds for point in awake)
    usual = sum(point.memory_bytes * point.seconds for point in awake) / ready
    gb_hours = usual / 1e9 * asleep / 3600
    money = f"{gb_hours * chosen.gb_hour_price:,.2f} {chosen.currency}" if chosen.gb_hour_price else ""
    return Saving(asleep, gb_hours, money)


# --- how it serves


@dataclass(frozen=True, slots=True)
class Serving:
    """How a served entity serves: whether requests are batched, and how replicas start, each with its reason."""

    entity: str
    batching: str
    batching_why: str
    start: str
    start_why: str


BATCHING_WORDS = {
    "proved": "Requests of different callers are predicted together: it is proved that each gets its own answer.",
    "on": "Requests of different callers are predicted together, as its owner says that it is safe.",
    "off": "Each request is predicted by itself.",
}
START_WORDS = {
    "fork": "Replicas are forked from a warm template.",
    "spawn": "Replicas are spawned: each imports its packages.",
}


def serving(view: EndpointView) -> tuple[Serving, ...]:
    """How each served entity of the active configuration serves, as far as its trials have shown."""
    endpoint = view.endpoint
    if endpoint.active is None:
        return ()
    found = []
    for name, rid in revision_ids(endpoint.id, endpoint.active).items():
        status = view.status.entities.get(rid)
        proof = status.proof if status else None
        batching, start = _mode(proof.batching if proof else None), _mode(proof.start if proof else None)
        found.append(
            Serving(
                name,
                BATCHING_WORDS.get(
                    batching[0], "It has not been tried yet whether requests may be predicted together."
                ),
                batching[1],
                START_WORDS.get(start[0], "It has not been tried yet whether replicas can be forked."),
                start[1],
            )
        )
    return tuple(found)


def _mode(shown: Mapping[str, Any] | None) -> tuple[str, str]:
    return (str(shown.get("mode", "")), str(shown.get("reason") or "")) if shown else ("", "")
