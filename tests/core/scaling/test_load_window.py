"""Averages over the last seconds, with little, much or nothing known."""

import pytest

from tidegate.core.scaling.load_window import LoadPoint, LoadWindow, Stretch


def a_window(*points: LoadPoint) -> LoadWindow:
    window = LoadWindow(60.0)
    for point in points:
        window = window.plus(point)
    return window


def steady(seconds: float, every: float = 1.0, begin: float = 0.0) -> list[LoadPoint]:
    """10 requests/s that take 0.2 s each: two at once."""
    count = int(seconds / every) + 1
    return [
        LoadPoint(begin + n * every, int(10 * n * every), 2.0 * n * every, 2.0 * n * every, in_flight=2)
        for n in range(count)
    ]


def test_one_point_is_no_average() -> None:
    assert a_window(LoadPoint(0.0, 5)).over(6) is None


@pytest.mark.parametrize("seconds", [6.0, 60.0])
@pytest.mark.parametrize("known", [2.0, 5.0, 30.0, 300.0])
def test_what_is_not_known_does_not_dilute(seconds: float, known: float) -> None:
    stretch = a_window(*steady(known)).over(seconds)
    assert stretch is not None
    assert stretch.at_once == pytest.approx(2.0)
    assert stretch.rate == pytest.approx(10.0)
    assert stretch.service_seconds == pytest.approx(0.2)
    assert stretch.stay_seconds == pytest.approx(0.2)


def test_the_short_window_forgets_what_the_long_one_knows() -> None:
    quiet = [LoadPoint(30.0 + n, 300, 60.0, 60.0) for n in range(1, 11)]
    window = a_window(*steady(30), *quiet)
    short, long = window.over(6), window.over(60)
    assert short is not None
    assert long is not None
    assert (short.at_once, short.rate) == (0.0, 0.0)
    assert long.at_once == pytest.approx(1.5)


def test_after_a_pause_what_came_is_as_of_the_window() -> None:
    stretch = a_window(LoadPoint(0.0), LoadPoint(1.0), LoadPoint(1000.0, 12, 3.0, 3.0)).over(6)
    assert stretch == Stretch(6.0, at_once=0.5, rate=2.0, done=12.0, busy=0.5, cores=0.0)


def test_points_that_are_close_together_are_not_kept() -> None:
    window = a_window(*steady(120, every=0.1))
    assert len(window.points) <= 123
    assert window.newest.at == pytest.approx(120.0)
    assert window.points[0].at <= 60.0 < window.points[1].at


def test_half_of_what_is_under_way_counts_as_done() -> None:
    """Eight that began together and are half through have taken four requests' time, and none is answered."""
    stretch = a_window(LoadPoint(0.0), LoadPoint(1.0, 8, 8.0, 8.0, in_flight=8)).over(6)
    assert stretch is not None
    assert stretch.service_seconds == pytest.approx(2.0)
