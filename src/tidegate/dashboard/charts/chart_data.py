"""The points of a chart's time, and the forms of their values: columns for the script, rows of a table, CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.core.series.series_point import SeriesPoint, added
from tidegate.dashboard import formats
from tidegate.dashboard.charts.endpoint_charts import Chart

ROWS = 12
"""The rows of a chart's table at most. Each row is the sum of as many points as it takes."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment that all charts mark: `kind` is `switch`, `held`, `build` or `eviction`."""

    at: float  # unix seconds
    kind: str
    text: str


def with_breaks(points: Sequence[SeriesPoint]) -> list[SeriesPoint]:
    """The points, with a point of no width where a stretch of time is missing: a line breaks there."""
    found: list[SeriesPoint] = []
    for point in points:
        if found:
            end = found[-1].at + found[-1].seconds
            if point.at - end > point.seconds / 2:
                found.append(SeriesPoint(end, 0.0))
        found.append(point)
    return found


def rows_of(points: Sequence[SeriesPoint]) -> list[SeriesPoint]:
    """The points of a table: at most ROWS, each the sum of neighbours."""
    together = max(1, -(-len(points) // ROWS))
    return [added(*points[first : first + together]) for first in range(0, len(points), together)]


def gaps(points: Sequence[SeriesPoint]) -> list[tuple[float, float]]:
    """The times in which control was away, from and to, unix seconds: their counts are known, their course is not."""
    return [(point.at, point.at + point.seconds) for point in points if point.gap]


def compact(
    charts: Sequence[Chart], points: Sequence[SeriesPoint], marks: Sequence[Mark], since: float, until: float
) -> dict[str, Any]:
    """What the script draws: columns as uPlot takes them. Times are seconds after `t0`."""
    start = points[0].at if points else since
    return {
        "t0": start,
        "since": since - start,
        "until": until - start,
        "x": [_whole(point.at - start) for point in points],
        "gaps": [[_whole(begin - start), _whole(end - start)] for begin, end in gaps(points)],
        "marks": [[_whole(mark.at - start), mark.kind, mark.text] for mark in marks],
        "charts": {
            chart.key: {
                "unit": chart.unit,
                "lines": [[line.label, line.colour] for line in chart.lines],
                "y": [[None if value is None else _whole(value) for value in line.values] for line in chart.lines],
            }
            for chart in charts
            if chart.lines
        },
    }


def row_event(charts: Sequence[Chart], points: Sequence[SeriesPoint]) -> list[dict[str, Any]]:
    """What the stream sends of new points: the time of each, and by chart and line its value."""
    return [
        {
            "at": point.at,
            "gap": point.seconds if point.gap else 0,
            "rows": {
                chart.key: {line.label: line.values[number] for line in chart.lines if line.values[number] is not None}
                for chart in charts
            },
        }
        for number, point in enumerate(points)
    ]


def as_csv(charts: Sequence[Chart], points: Sequence[SeriesPoint]) -> str:
    """The values of these charts as CSV: a row for each point with its time in UTC."""
    text = io.StringIO()
    writer = csv.writer(text)
    heads = [f"{chart.title}: {line.label}" + (f" ({chart.unit})" if chart.unit else "")
             for chart in charts for line in chart.lines]  # fmt: skip
    writer.writerow(["time", "seconds", *heads])
    for number, point in enumerate(points):
        if point.seconds:
            values = [line.values[number] for chart in charts for line in chart.lines]
            cells = ("" if value is None else f"{value:g}" for value in values)
            writer.writerow([formats.iso(point.at), f"{point.seconds:g}", *cells])
    return text.getvalue()


def _whole(value: float) -> float:
    """The same number, as an integer where it is one: JSON is then shorter."""
    return int(value) if value == int(value) else value
