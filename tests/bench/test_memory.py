"""Growth is told from noise."""

import os

import psutil
import pytest
from bench.memory import Growth, Watch, slope


def test_slope_of_a_line_is_its_own() -> None:
    minutes = [n / 12 for n in range(120)]
    assert slope(minutes, [100 + 3.5 * at for at in minutes]) == pytest.approx(3.5)
    assert slope(minutes, [100.0] * 120) == 0.0


def test_slope_of_the_line_between_the_points() -> None:
    assert slope([0, 1, 2, 3], [0, 2, 1, 3]) == pytest.approx(0.8)


def test_where_there_is_no_line() -> None:
    assert slope([], []) == slope([1.0], [5.0]) == slope([2.0, 2.0], [1.0, 9.0]) == 0.0


def test_the_warm_up_does_not_count() -> None:
    growth = Growth("gateway 0", [0.0, 0.5, 1.0, 2.0, 3.0], [0.0, 900.0, 1000.0, 1001.0, 1002.0])
    assert growth.after(1.0).slope == pytest.approx(1.0)
    assert growth.after(1.0).total == 2.0
    assert growth.slope > 100


def test_a_process_is_read_as_it_is() -> None:
    watch = Watch({os.getpid(): "this one"})
    watch.sample(0.0)
    kept = bytearray(os.urandom(1)) * 20_000_000
    watch.sample(1.0)
    assert watch.growths[os.getpid()].total == pytest.approx(len(kept) / 1024, rel=0.2)


def test_a_process_that_ended_is_not_passed_over() -> None:
    with pytest.raises(psutil.NoSuchProcess):
        Watch({2**22 + 1: "nobody"}).sample(0.0)
