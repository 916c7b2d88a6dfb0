"""What each chart of an endpoint shows, and the forms that it comes in."""

import csv
import io
import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.series import FakeSeries
from tidegate.core.series.series_point import SeriesPoint, added
from tidegate.dashboard.charts.chart_data import ROWS, Mark, as_csv, compact, gaps, row_event, rows_of, with_breaks
from tidegate.dashboard.charts.chart_view import chart_views, number_text
from tidegate.dashboard.charts.endpoint_charts import Chart, Limits, Line, charts, statuses_of
from tidegate.dashboard.charts.svg_plot import COLUMNS, HEIGHT, WIDTH, plot, scale, text_of

BUSY = SeriesPoint(
    0.0, 60.0, statuses={200: 540, 400: 12, 500: 6}, latency={100: 500, 300: 58}, latency_seconds=9.0, stepped=540,
    steps=(0.54, 0.0, 0.0, 5.4, 0.0, 0.54), batches=180.0, request_bytes=600_000, response_bytes=60_000,
    cold={"fork queue": (2, 0.01), "fork total": (2, 0.4), "spawn queue": (1, 0.02), "spawn total": (1, 2.0)},
    cpu_seconds=30.0, ready=2.0, wanted=3.0, memory_bytes=4e9, in_flight=7, queued=4, oldest_wait_seconds=0.5,
)  # fmt: skip


def lines(chart: Chart) -> dict[str, float | None]:
    """The value of each line at its newest point."""
    return {line.label: line.values[-1] for line in chart.lines}


def shown(point: SeriesPoint, limits: Limits | None = None) -> dict[str, Chart]:
    return {chart.key: chart for chart in charts([point], limits or Limits())}


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("requests", {"2xx": 9.0, "4xx": 0.2, "5xx": 0.1}),
        ("errors", {"400": 0.2, "500": 0.1}),
        ("steps", {"queue": 1.0, "wait": 0.0, "decode": 0.0, "predict": 10.0, "encode": 0.0, "gateway": 1.0}),
        ("cpu", {"all replicas": 0.5}),
        ("memory", {"all replicas": 4000.0}),
        ("replicas", {"ready": 2.0, "wanted": 3.0}),
        ("waiting", {"under way": 7, "waiting": 4}),
        ("wait", {"oldest wait": 500.0}),
        ("batch", {"together": 3.0}),
        ("bytes", {"in": 10.0, "out": 1.0}),
    ],
)
def test_a_chart_has_the_values_of_the_series_in_its_unit(key: str, values: dict[str, float]) -> None:
    assert lines(shown(BUSY)[key]) == values


def test_latencies_are_those_of_the_histogram() -> None:
    found = lines(shown(BUSY)["latency"])
    assert found["min"] == found["p50"] == pytest.approx(0.53, rel=0.02)
    assert found["p99"] == found["max"] == pytest.approx(40.2, rel=0.02)


def test_cold_starts_are_told_by_phase_and_by_mode() -> None:
    found = shown(BUSY)["cold"]
    assert lines(found)["until asked for"] == 10.0
    assert found.note == "2 forked from a warm template, 1 spawned."


def test_the_memory_limit_is_drawn_where_the_replicas_come_near_it() -> None:
    assert "limit" in lines(shown(BUSY, Limits(4_000_000_000))["memory"])
    far = shown(BUSY, Limits(40_000_000_000))["memory"]
    assert "limit" not in lines(far)
    assert far.note == "The limit is 40 GB a replica."


def test_replicas_are_explained() -> None:
    assert shown(BUSY, Limits(why="3 requests wait.", is_parked=True))["replicas"].note == (
        "Why so many? 3 requests wait. Those that are parked for a rollback count here."
    )
    assert not shown(BUSY)["replicas"].note


def test_a_gpu_has_a_chart_only_where_there_is_one() -> None:
    assert "gpu" not in shown(BUSY)
    assert lines(shown(SeriesPoint(0.0, 1.0, gpu=0.5, gpu_memory_bytes=1e9))["gpu"]) == {"in use": 50.0}


def test_a_chart_without_anything_to_draw_says_so() -> None:
    assert all(chart.empty.endswith(".") for chart in charts([SeriesPoint(0.0, 60.0)], Limits()))
    assert all(chart.empty for chart in charts([], Limits()))
    assert not [chart.key for chart in charts([BUSY], Limits()) if chart.empty]


def test_a_missing_stretch_breaks_the_line_and_a_gap_is_told() -> None:
    points = [SeriesPoint(0.0, 60.0), SeriesPoint(60.0, 60.0), SeriesPoint(600.0, 120.0, gap=True)]
    broken = with_breaks(points)
    assert [point.at for point in broken] == [0.0, 60.0, 120.0, 600.0]
    assert [value is None for value in charts(broken, Limits())[0].lines[0].values] == [False, False, True, False]
    assert gaps(broken) == [(600.0, 720.0)]


def test_a_table_has_few_rows_that_hold_every_request() -> None:
    points = [SeriesPoint(60.0 * number, 60.0, statuses={200: number}) for number in range(100)]
    rows = rows_of(points)
    assert len(rows) <= ROWS
    assert sum(row.requests for row in rows) == sum(range(100))
    assert all(one.at + one.seconds == other.at for one, other in pairwise(rows))


async def test_the_script_gets_columns_of_equal_length_and_short_numbers() -> None:
    points = await FakeSeries({"wine": 40.0}).points("wine", 0.0, 3600.0, 60.0)
    drawn = charts(points, Limits())
    data = compact(drawn, points, [Mark(120.0, "switch", "v2 </script>")], 0.0, 3600.0)
    assert all(len(column) == len(data["x"]) for chart in data["charts"].values() for column in chart["y"])
    assert data["marks"] == [[120, "switch", "v2 </script>"]]
    assert len(json.dumps(data, separators=(",", ":"))) < 15_000


def test_the_stream_sends_the_values_of_a_point_by_chart_and_line() -> None:
    row = row_event(charts([BUSY], Limits()), [BUSY])[0]
    assert (row["at"], row["gap"], row["rows"]["requests"]["2xx"]) == (0.0, 0, 9.0)


def test_csv_has_a_row_for_each_point() -> None:
    text = as_csv(charts([BUSY, SeriesPoint(60.0, 0.0), SeriesPoint(120.0, 60.0)], Limits())[:2], [
        BUSY, SeriesPoint(60.0, 0.0), SeriesPoint(120.0, 60.0),
    ])  # fmt: skip
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0][:3] == ["time", "seconds", "Requests: 2xx (/s)"]
    assert [row[:3] for row in rows[1:]] == [["1970-01-01T00:00:00Z", "60", "9"], ["1970-01-01T00:02:00Z", "60", "0"]]


def test_the_most_frequent_errors_have_a_line() -> None:
    statuses = {200: 5, 400: 1, 401: 2, 404: 3, 429: 4, 500: 5, 504: 6}
    assert statuses_of([SeriesPoint(0.0, 1.0, statuses=statuses)]) == (401, 404, 429, 500, 504)


@given(st.lists(st.one_of(st.none(), st.floats(0.0, 1e12)), max_size=400))
def test_a_picture_stays_within_its_frame(values: list[float | None]) -> None:
    chart = Chart("k", "T", "", (Line("one", 1, tuple(values)),))
    drawn = plot(chart, list(range(len(values))), 0.0, float(max(1, len(values) - 1)))
    places = places_of(drawn.paths[0][1])
    assert len(places) <= COLUMNS + 1
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)


def places_of(path: str) -> list[tuple[float, float]]:
    """The points of a path, each from the edges of the picture."""
    found: list[tuple[float, float]] = []
    for kind, right, down in re.findall(r"([Ml])(-?[\d.]+) ?(-?[\d.]+)", path):
        from_x, from_y = found[-1] if kind == "l" else (0.0, 0.0)
        found.append((round(from_x + float(right), 1), round(from_y + float(down), 1)))
    return found


def test_steps_from_point_to_point_do_not_drift() -> None:
    values = (1000.0, *(float(number * 7919 % 1000) for number in range(1, 90)))
    chart = Chart("k", "T", "", (Line("one", 1, values),))
    places = places_of(plot(chart, list(range(90)), 0.0, 89.0).paths[0][1])
    first, last = HEIGHT - 20 - 132 * values[0] / 1000, HEIGHT - 20 - 132 * values[-1] / 1000
    assert (places[0][1], *places[-1]) == pytest.approx((first, WIDTH - 4, last), abs=0.06)


@given(st.floats(1e-9, 1e15))
def test_a_grid_has_a_few_lines_up_to_the_highest_value(most: float) -> None:
    ticks = scale(most)
    assert 2 <= len(ticks) <= 6
    assert ticks[0] == 0
    assert most / 2 <= ticks[-1] <= most * 1.001
    assert len({text_of(value) for value in ticks}) == len(ticks)


def test_a_peak_is_seen_in_a_long_line() -> None:
    points = [SeriesPoint(float(at), 1.0, statuses={200: 1000 if at == 333 else 1}) for at in range(700)]
    _, views = chart_views(points, Limits(), (), 0.0, 700.0)
    assert min(y for _, y in places_of(views[0].plot.paths[0][1])) == views[0].plot.top


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (0.123456, "0.12"), (1.23456, "1.23"), (12.34, "12.3"), (1234.5, "1,234"), (3.0, "3")],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert number_text(value) == text


def test_a_picture_says_in_words_what_it_shows() -> None:
    _, views = chart_views([BUSY], Limits(), (), 0.0, 60.0)
    assert views[0].summary == "Requests, /s: 2xx 9, at most 9; 4xx 0.2, at most 0.2; 5xx 0.1, at most 0.1."
    assert views[0].rows[0].values == ("9", "0.2", "0.1")


def test_merged_points_give_the_same_values_as_one() -> None:
    halves = [SeriesPoint(0.0, 30.0, statuses={200: 270}), SeriesPoint(30.0, 30.0, statuses={200: 270})]
    whole = added(*halves)
    assert charts([whole], Limits())[0].lines[0].values == (9.0,)
