"""Numbers and times as people read them. Units are part of the text or stand in the column's head, never both."""

import math
from datetime import UTC, datetime

_DASH = "–"


def rate(per_second: float) -> str:
    """Requests per second: `0`, `0.02`, `3.4`, `42`, `4,212`."""
    if per_second >= 10:
        return f"{per_second:,.0f}"
    if per_second >= 0.995:
        return f"{per_second:.1f}"
    return f"{per_second:.2f}".rstrip("0").rstrip(".") if per_second >= 0.005 else ("0" if not per_second else "<0.01")


def milliseconds(seconds: float | None) -> str:
    """A duration in milliseconds, without its unit: `0.41`, `8.4`, `132`, `12,400`."""
    if seconds is None or math.isnan(seconds):
        return _DASH
    value = seconds * 1000
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """A duration with its unit: `0.41 ms`, `8.4 s`, `17 s`, `4 min`, `3 h`, `2 days`."""
    if seconds is None:
        return _DASH
    if seconds < 1:
        return f"{milliseconds(seconds)} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for longest, unit, name in ((120, 1, "s"), (7200, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < longest:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} days"


def percent(share: float | None) -> str:
    """A share from 0 to 1 as per cent, without the sign: `0`, `0.04`, `3.2`, `61`."""
    if share is None:
        return _DASH
    value = share * 100
    if not value:
        return "0"
    if value < 0.01:
        return "<0.01"
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def count(number: float) -> str:
    """A whole number: `128,411`."""
    return f"{number:,.0f}"


def memory(size: float | None) -> str:
    """An amount of memory with its unit, by powers of ten: `812 kB`, `181 MB`, `4.0 GB`."""
    if not size:
        return _DASH if size is None else "0 MB"
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            value = size / unit
            return f"{value:.1f} {name}" if value < 10 and unit == 1e9 else f"{value:,.0f} {name}"
    return f"{size / 1e3:,.0f} kB"


def hours(amount: float) -> str:
    """An amount of GB-hours, without its unit: `0.02`, `3.4`, `2,300`."""
    return rate(amount)


def ago(then: float, now: float) -> str:
    """How long ago a moment was: `just now`, `40 s ago`, `3 h ago`."""
    return f"{duration(now - then)} ago" if now - then >= 1 else "just now"


def iso(moment: float) -> str:
    """A moment in ISO 8601, UTC, for `<time datetime>`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc(moment: float) -> str:
    """A moment for people, where the browser does not write it in their own zone."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


FILTERS = {
    "rate": rate,
    "milliseconds": milliseconds,
    "duration": duration,
    "percent": percent,
    "count": count,
    "memory": memory,
    "hours": hours,
    "iso": iso,
    "utc": utc,
}
"""The filters of all templates."""
