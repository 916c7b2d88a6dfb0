"""The charts of one endpoint: which lines each has, and how a point of the series becomes a value of a line.

A point of no width stands for a time of which nothing is known. It has no values, so a line breaks there.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tidegate.core.series.latency_histogram import quantiles
from tidegate.core.series.series_point import STEPS, SeriesPoint
from tidegate.dashboard import formats

Value = Callable[[SeriesPoint], float | None]
"""The value of a line at a point that has a width; None where it has none."""

_LATENCIES = {"min": 0.0, "p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
_STARTS = {
    "until asked for": "queue",
    "until the process begins": "template",
    "loading the model": "load",
    "first answer": "first",
}
_NO_ANSWER = "Nothing was answered in this time."
_MOST_STATUSES = 5
# The limit of memory is drawn where the replicas come near it; else it would press their own line flat.
_NEAR_THE_LIMIT = 0.4


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart, with a value for each point. `colour` is a number of the sheet's colours, from 1 to 6."""

    label: str
    colour: int
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: `unit` is that of its values; `note` is a sentence for its caption.

    `empty` is the sentence that stands in the place of a picture where there is nothing to draw.
    """

    key: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    note: str = ""
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the charts say besides the series: a replica's memory limit in bytes, 0 for none; why it has its replicas;
    whether replicas of a parked configuration are among them.

    `statuses` are the lines of the errors' chart, where they are known already.
    """

    memory_bytes: int = 0
    why: str = ""
    statuses: tuple[int, ...] | None = None
    is_parked: bool = False


def charts(points: Sequence[SeriesPoint], limits: Limits) -> tuple[Chart, ...]:
    """The charts of these points, oldest first. That of GPUs is there only where the endpoint uses one."""
    found = [
        _requests(points),
        _latency(points),
        _steps(points),
        _errors(points, limits.statuses),
        _replicas(points, limits),
        _cpu(points),
        _memory(points, limits.memory_bytes),
        _waiting(points),
        _longest_wait(points),
        _batch(points),
        _cold(points),
        _bytes(points),
    ]
    if any(point.gpu or point.gpu_memory_bytes for point in points):
        found.append(_gpu(points))
    return tuple(found)


def statuses_of(points: Iterable[SeriesPoint]) -> tuple[int, ...]:
    """The most frequent statuses of errors, at most five, the smallest first."""
    counts = Counter[int]()
    for point in points:
        for status, count in point.statuses.items():
            if status >= 400 and count:
                counts[status] += count
    return tuple(sorted(status for status, _ in counts.most_common(_MOST_STATUSES)))


def significant(value: float | None) -> float | None:
    """A value with three significant digits: as exact as anybody sees it, and short."""
    return None if value is None else float(f"{value:.3g}")


# --- each chart


def _requests(points: Sequence[SeriesPoint]) -> Chart:
    def of_class(hundreds: int) -> Value:
        return lambda point: point.of_class(hundreds) / point.seconds

    classes = {"2xx": (2, 1), "4xx": (4, 2), "5xx": (5, 5)}
    lines = tuple(_line(points, label, colour, of_class(hundreds)) for label, (hundreds, colour) in classes.items())
    return _chart("requests", "Requests", "/s", lines, "No request came in this time.")


def _latency(points: Sequence[SeriesPoint]) -> Chart:
    rows = [quantiles(point.latency, _LATENCIES.values()) if point.seconds else (None,) * 5 for point in points]
    columns = zip(*rows, strict=True) if rows else ((),) * len(_LATENCIES)
    lines = tuple(
        Line(label, number, tuple(significant(None if value is None else value * 1000) for value in column))
        for number, (label, column) in enumerate(zip(_LATENCIES, columns, strict=True), start=1)
    )
    return _chart("latency", "Latency", "ms", lines, _NO_ANSWER, zero_is_nothing=False)


def _steps(points: Sequence[SeriesPoint]) -> Chart:
    def step(number: int) -> Value:
        return lambda point: point.steps[number] / point.stepped * 1000 if point.stepped else None

    lines = tuple(_line(points, name, number + 1, step(number)) for number, name in enumerate(STEPS))
    return _chart(
        "steps", "Steps of a request", "ms, mean", lines, "Nothing was answered in this time.", zero_is_nothing=False
    )


def _errors(points: Sequence[SeriesPoint], known: tuple[int, ...] | None) -> Chart:
    def of(status: int) -> Value:
        return lambda point: point.statuses.get(status, 0) / point.seconds

    statuses = statuses_of(points) if known is None else known
    lines = tuple(
        _line(points, str(status), colour, of(status))
        for colour, status in zip((5, 2, 4, 3, 1), statuses, strict=False)
    )
    return _chart("errors", "Errors by status", "/s", lines, "No error in this time.")


def _replicas(points: Sequence[SeriesPoint], limits: Limits) -> Chart:
    why = f"Why so many? {limits.why}" if limits.why else ""
    parked = "Those that are parked for a rollback count here." if limits.is_parked else ""
    note = f"{why} {parked}".strip()
    lines = (
        _line(points, "ready", 1, lambda point: point.ready),
        _line(points, "wanted", 2, lambda point: point.wanted),
    )
    return _chart("replicas", "Replicas", "", lines, "No replica ran in this time: it was asleep.", note=note)


def _cpu(points: Sequence[SeriesPoint]) -> Chart:
    lines = (_line(points, "all replicas", 1, lambda point: point.cpu_seconds / point.seconds),)
    return _chart("cpu", "CPU", "cores", lines, "No replica used a core in this time.")


def _memory(points: Sequence[SeriesPoint], limit: int) -> Chart:
    lines = [_line(points, "all replicas", 1, lambda point: point.memory_bytes / 1e6)]
    if limit and any(point.memory_bytes > _NEAR_THE_LIMIT * limit * point.ready > 0 for point in points):
        lines.append(_line(points, "limit", 5, lambda point: limit * point.ready / 1e6))
    note = f"The limit is {formats.memory(limit)} a replica." if limit else ""
    return _chart("memory", "Memory", "MB", tuple(lines), "No replica had memory in this time.", note=note)


def _waiting(points: Sequence[SeriesPoint]) -> Chart:
    lines = (
        _line(points, "under way", 1, lambda point: point.in_flight),
        _line(points, "waiting", 2, lambda point: point.queued),
    )
    return _chart(
        "waiting",
        "Requests at once",
        "at most",
        lines,
        "None was seen under way: each was answered sooner than one looks.",
    )


def _longest_wait(points: Sequence[SeriesPoint]) -> Chart:
    lines = (_line(points, "oldest wait", 2, lambda point: point.oldest_wait_seconds * 1000),)
    return _chart("wait", "Longest wait for a replica", "ms", lines, "No request was seen waiting in this time.")


def _batch(points: Sequence[SeriesPoint]) -> Chart:
    lines = (_line(points, "together", 4, lambda point: point.stepped / point.batches if point.batches else None),)
    return _chart("batch", "Batch size", "requests", lines, _NO_ANSWER, zero_is_nothing=False)


def _cold(points: Sequence[SeriesPoint]) -> Chart:
    def phase(name: str) -> Value:
        def value(point: SeriesPoint) -> float | None:
            found = [spent for key, spent in point.cold.items() if key.split(" ")[-1] == name]
            starts = sum(count for count, _ in found)
            return sum(seconds for _, seconds in found) / starts * 1000 if starts else None

        return value

    lines = tuple(
        _line(points, label, number, phase(name)) for number, (label, name) in enumerate(_STARTS.items(), start=1)
    )
    modes = Counter[str]()
    for point in points:
        for key, (count, _) in point.cold.items():
            mode, _, name = key.partition(" ")
            modes[mode] += count if name == "total" else 0
    note = ", ".join(f"{count:,} {_MODES.get(mode, mode)}" for mode, count in sorted(modes.items()) if count)
    return _chart(
        "cold", "Cold starts by phase", "ms, mean", lines, "No request waited for a start in this time.",
        note=f"{note[0].upper()}{note[1:]}." if note else "", zero_is_nothing=False,
    )  # fmt: skip


_MODES = {"fork": "forked from a warm template", "spawn": "spawned"}


def _bytes(points: Sequence[SeriesPoint]) -> Chart:
    lines = (
        _line(points, "in", 1, lambda point: point.request_bytes / point.seconds / 1e3),
        _line(points, "out", 2, lambda point: point.response_bytes / point.seconds / 1e3),
    )
    return _chart("bytes", "Bodies", "kB/s", lines, "No body came or went in this time.")


def _gpu(points: Sequence[SeriesPoint]) -> Chart:
    lines = (_line(points, "in use", 1, lambda point: point.gpu * 100),)
    memory = max(point.gpu_memory_bytes for point in points)
    return _chart("gpu", "GPU", "%", lines, "No GPU was used.", note=f"Its memory: {formats.memory(memory)} at most.")


# ---


def _line(points: Sequence[SeriesPoint], label: str, colour: int, value: Value) -> Line:
    return Line(label, colour, tuple(significant(value(point)) if point.seconds else None for point in points))


def _chart(
    key: str,
    title: str,
    unit: str,
    lines: tuple[Line, ...],
    empty: str,
    *,
    note: str = "",
    zero_is_nothing: bool = True,
) -> Chart:
    """A chart. It is empty where no line has a value, or none but zeros where zero means that nothing was there."""
    drawn = any(value if zero_is_nothing else value is not None for line in lines for value in line.values)
    return Chart(key, title, unit, lines, note, "" if drawn else empty)
