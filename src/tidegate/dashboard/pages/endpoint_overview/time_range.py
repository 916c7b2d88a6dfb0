"""The stretch of time and the served entity that an endpoint's charts are about, as an address says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from tidegate.control.series.series import COMES_IN, resolution

RANGES: Mapping[str, float] = {
    "5m": 300.0,
    "15m": 900.0,
    "1h": 3600.0,
    "6h": 6 * 3600.0,
    "24h": 86_400.0,
    "7d": 7 * 86_400.0,
    "14d": 14 * 86_400.0,
}
"""The choices, and their seconds."""
USUAL, USUAL_OF_NEW = "1h", "15m"
"""The range of an address without one. A new endpoint's hour would be empty, but for a few minutes at its end."""
LONGEST = RANGES["14d"]
LIVE = 900.0
"""A range that ends now and is at most this long, seconds, grows point by point."""
# What is kept by the second, and by the minute, for how long.
_SECONDS_KEPT, _MINUTES_KEPT = 900.0, 86_400.0
_SHORTEST = 60.0


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The range: one of RANGES up to now, or another stretch (`name` is empty then). Times are unix seconds.

    `entity` is the label of a served entity; empty for all.
    """

    name: str
    since: float
    until: float
    step: float
    entity: str = ""
    usual: str = USUAL  # the range of an address without one

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.until - self.since

    @property
    def live(self) -> bool:
        """Whether it grows point by point while it is looked at."""
        return bool(self.name) and self.seconds <= LIVE

    def query(self, **changes: object) -> str:
        """The query string of this range with changes, without what is usual."""
        values: dict[str, object] = {"entity": self.entity}
        if self.name:
            values["range"] = self.name
        else:
            values |= {"from": int(self.since), "to": int(self.until)}
        values |= changes
        if values.get("range"):
            values = {key: value for key, value in values.items() if key not in ("from", "to")}
        return urlencode(
            {
                key: value
                for key, value in values.items()
                if value and (key, value, self.usual) != ("range", USUAL, USUAL)
            }
        )

    def moved(self, share: float, now: float) -> str:
        """The query string of the stretch that is this share of its length later; it ends now at the latest."""
        until = min(now, self.until + share * self.seconds)
        return self.query(range="", **{"from": int(until - self.seconds), "to": int(until)})


def time_range(parameters: Mapping[str, str], now: float, began: float = 0.0) -> TimeRange:
    """The range of a query string, for what began then, unix seconds. What makes no sense is left out, as a link may be
    old.
    """
    usual = USUAL_OF_NEW if now - began < RANGES[USUAL_OF_NEW] else USUAL
    now, entity = now - COMES_IN, parameters.get("entity", "")[:200]
    since, until = _moment(parameters.get("from", "")), _moment(parameters.get("to", ""))
    if since is not None and until is not None and since < until and until > now - LONGEST:
        until = min(until, now)
        since = max(min(since, until - _SHORTEST), now - LONGEST)
        step = step_of(until - since, now - since)
        return TimeRange("", _floor(since, step), _floor(until, step), step, entity, usual)
    name = parameters.get("range", "")
    name = name if name in RANGES else usual
    step = resolution(RANGES[name])
    until = _floor(now, step)
    return TimeRange(name, until - RANGES[name], until, step, entity, usual)


def step_of(span: float, age: float) -> float:
    """The width of a point, seconds, for a stretch of `span` seconds that began `age` seconds ago: what is kept."""
    least = 1.0 if age <= _SECONDS_KEPT else 60.0 if age <= _MINUTES_KEPT else 900.0
    return max(least, resolution(span))


def _moment(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _floor(moment: float, step: float) -> float:
    return moment // step * step
