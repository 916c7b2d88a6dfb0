"""The stretch of time that charts are about, as an address says it."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.series.series import COMES_IN
from tidegate.dashboard.pages.endpoint_overview.time_range import LONGEST, RANGES, time_range

NOW = 1_700_000_123.0


@pytest.mark.parametrize(("name", "step"), [("5m", 1), ("15m", 5), ("1h", 60), ("24h", 300), ("14d", 1800)])
def test_a_range_ends_with_the_newest_whole_point(name: str, step: float) -> None:
    found = time_range({"range": name}, NOW)
    assert (found.name, found.step, found.seconds) == (name, step, RANGES[name])
    assert NOW - step - COMES_IN < found.until <= NOW - COMES_IN
    assert found.live == (name in {"5m", "15m"})


@pytest.mark.parametrize(
    "parameters",
    [{}, {"range": "x"}, {"from": "9", "to": "8"}, {"from": "1", "to": "2"}, {"from": "²", "to": "9" * 99}],
)
def test_what_makes_no_sense_is_an_hour(parameters: dict[str, str]) -> None:
    assert time_range(parameters, NOW).name == "1h"


def test_a_new_endpoint_shows_its_first_minutes_until_there_are_more() -> None:
    new = time_range({}, NOW, NOW - 899.0)
    assert (new.name, new.live) == ("15m", True)
    assert new.query() == "range=15m"
    hour = new.query(range="1h")
    assert time_range(dict(parse_qsl(hour)), NOW, NOW - 899.0).name == "1h"
    assert time_range({}, NOW, NOW - 901.0).name == "1h"


def test_a_stretch_has_the_points_that_are_kept_of_its_time() -> None:
    def step(ago: int, seconds: int) -> float:
        return time_range({"from": str(int(NOW) - ago), "to": str(int(NOW) - ago + seconds)}, NOW).step

    assert step(600, 120) == 1
    assert step(3600, 120) == 60
    assert step(3 * 86400, 3600) == 900


@given(
    st.dictionaries(
        st.sampled_from(("range", "from", "to", "entity")), st.text(max_size=12) | st.integers(0, 2 * 10**9).map(str)
    )
)
def test_an_address_leads_back_to_the_same_range(parameters: dict[str, str]) -> None:
    found = time_range(parameters, NOW)
    assert 0 < found.seconds <= LONGEST + 1800
    assert found.until <= NOW
    assert time_range(dict(parse_qsl(found.query())), NOW) == found


def test_one_can_move_in_time_and_come_back() -> None:
    hour = time_range({"entity": "wine-1"}, NOW)
    earlier = time_range(dict(parse_qsl(hour.moved(-0.5, NOW))), NOW)
    assert (earlier.name, earlier.until, earlier.entity) == ("", hour.until - 1800, "wine-1")
    later = time_range(dict(parse_qsl(earlier.moved(9.0, NOW))), NOW)
    assert later.until == hour.until
    assert earlier.query(range="1h") == "entity=wine-1"
