"""A chart as SVG: what a browser without scripts shows, and every browser until the script has drawn.

The sizes are those of the picture's own coordinates. A line has at most COLUMNS points; of more, the highest of each
neighbourhood stay, so a peak is seen.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tidegate.dashboard.charts.endpoint_charts import Chart

WIDTH, HEIGHT = 340.0, 160.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 4.0, 8.0, 20.0
COLUMNS = 90
_MOST_TICKS = 4


@dataclass(frozen=True, slots=True)
class Tick:
    """A horizontal line of the grid, with its text."""

    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """The picture of a chart: a path for each line, the grid, the marks, and the stretches of gaps (x, width)."""

    paths: tuple[tuple[int, str], ...]  # colour, path
    ticks: tuple[Tick, ...]
    marks: tuple[tuple[float, str], ...]  # x, text
    gaps: tuple[tuple[float, float], ...]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM


def plot(
    chart: Chart,
    times: Sequence[float],
    since: float,
    until: float,
    marks: Sequence[tuple[float, str]] = (),
    gaps: Sequence[tuple[float, float]] = (),
) -> Plot:
    """The picture of a chart over `since` to `until`, unix seconds. `times` are those of its values."""
    most = max((value for line in chart.lines for value in line.values if value is not None), default=0.0)
    ticks = scale(most)
    top = max(ticks[-1], most) or 1.0
    span = max(until - since, 1e-9)

    def x(at: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, (at - since) / span)), 1)

    def y(value: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * value / top, 1)

    places = [x(at) for at in times]
    return Plot(
        tuple((line.colour, _path(places, line.values, y)) for line in chart.lines),
        tuple(Tick(y(value), text_of(value)) for value in ticks),
        tuple((x(at), text) for at, text in marks if since <= at <= until),
        tuple((x(begin), round(max(1.0, x(end) - x(begin)), 1)) for begin, end in gaps),
    )


def scale(most: float) -> list[float]:
    """The values of the grid's lines, from 0 up to about `most`: steps of 1, 2 or 5 times a power of ten."""
    if most <= 0 or not math.isfinite(most):
        return [0.0]
    raw = most / _MOST_TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    return [float(f"{number * step:.10g}") for number in range(int(most / step + 0.001) + 1)]


def text_of(value: float) -> str:
    """A tick's text: `0`, `0.25`, `40`, `1,200`, `2.5k`, `3M`."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= unit:
            return f"{value / (1e3 if name == 'k' else unit):.4g}{name}"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.3g}"


def _path(places: Sequence[float], values: Sequence[float | None], y: Callable[[float], float]) -> str:
    """The path of a line, with breaks. A value between two breaks is a dot. Steps from point to point compress best."""
    parts, drawing, here = [], False, (0.0, 0.0)
    for at, value, following in _thinned(places, values):
        if value is None:
            drawing = False
            continue
        there = (at, y(value))
        right, down = (there[0] - here[0], there[1] - here[1]) if drawing else there
        step = f"{round(right, 1):g} {round(down, 1):g}".replace(" -", "-")
        parts.append(f"{'l' if drawing else 'M'}{step}" + ("" if drawing or following else "h.1"))
        drawing, here = True, there
    return "".join(parts)


def _thinned(places: Sequence[float], values: Sequence[float | None]) -> list[tuple[float, float | None, bool]]:
    """Place, value, and whether the line goes on to the next; the highest of neighbours where there are too many."""
    pairs = list(zip(places, values, strict=True))
    together = -(-len(pairs) // COLUMNS)
    if together > 1:
        groups = (pairs[first : first + together] for first in range(0, len(pairs), together))
        pairs = [max(group, key=lambda pair: -math.inf if pair[1] is None else pair[1]) for group in groups]
    nexts = (*(value is not None for _, value in pairs[1:]), False)
    return [(at, value, following) for (at, value), following in zip(pairs, nexts, strict=False)]
