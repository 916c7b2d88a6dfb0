"""A chart as a page shows it: the picture, the legend with the newest values, and the rows of its table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tidegate.core.series.series_point import SeriesPoint
from tidegate.dashboard.charts.chart_data import Mark, gaps, rows_of
from tidegate.dashboard.charts.endpoint_charts import Chart, Limits, Line, charts, statuses_of
from tidegate.dashboard.charts.svg_plot import Plot, plot

_DASH = "–"


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of the legend: the line's colour and name, and its newest value as text."""

    colour: int
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a chart's table: its begin, unix seconds, and a value for each line as text."""

    at: float
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChartView:
    """A chart with what is shown of it. `summary` says in words what the picture shows."""

    chart: Chart
    plot: Plot
    legend: tuple[Key, ...]
    summary: str
    rows: tuple[Row, ...]


def chart_views(
    points: Sequence[SeriesPoint], limits: Limits, marks: Sequence[Mark], since: float, until: float
) -> tuple[tuple[Chart, ...], tuple[ChartView, ...]]:
    """The charts of these points, and each as it is shown. CPU: some 60 ms for 700 busy points; call it in a thread."""
    known = replace(limits, statuses=statuses_of(points))
    drawn = charts(points, known)
    sums = rows_of([point for point in points if point.seconds])
    tables = {chart.key: chart for chart in charts(sums, known)}
    times, stretches = [point.at for point in points], gaps(points)
    flags = [(mark.at, mark.text) for mark in marks]
    return drawn, tuple(
        ChartView(
            chart,
            plot(chart, times, since, until, flags, stretches),
            tuple(Key(line.colour, line.label, number_text(_newest(line))) for line in chart.lines),
            _summary(chart),
            _rows(tables.get(chart.key), sums) if not chart.empty else (),
        )
        for chart in drawn
    )


def number_text(value: float | None) -> str:
    """A value of a chart for people: two digits of a small one, else three or four."""
    if value is None:
        return _DASH
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.{3 if abs(value) >= 1 else 2}g}"


def _newest(line: Line) -> float | None:
    return next((value for value in reversed(line.values) if value is not None), None)


def _summary(chart: Chart) -> str:
    if chart.empty:
        return f"{chart.title}: {chart.empty}"
    unit = f" {chart.unit}" if chart.unit else ""
    said = []
    for line in chart.lines:
        known = [value for value in line.values if value is not None]
        if known:
            said.append(f"{line.label} {number_text(known[-1])}, at most {number_text(max(known))}")
    return f"{chart.title}{',' if unit else ''}{unit}: {'; '.join(said)}."


def _rows(chart: Chart | None, sums: Sequence[SeriesPoint]) -> tuple[Row, ...]:
    if chart is None:
        return ()
    columns = [line.values for line in chart.lines]
    return tuple(
        Row(point.at, tuple(number_text(column[number]) for column in columns)) for number, point in enumerate(sums)
    )
