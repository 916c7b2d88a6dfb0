"""Of which times it is known that control was there."""

import pytest

from tidegate.control.series.presence import Presence

HOUR = 3600.0


def test_a_time_of_any_length_is_known_as_far_as_it_is_kept() -> None:
    presence = Presence()
    assert presence.known(0.0, 1e300) == 0.0
    first = 472_222  # hours: in 2023
    for minute in (first * 60, first * 60 + 59, (first + 30) * 60):
        presence.note(minute, 60.0)
    presence.note(first * 60 + 1, 15.0)
    assert presence.known(0.0, 1e300) == presence.known(-1e300, 2e300) == 195.0
    assert presence.known(first * HOUR, 31 * HOUR) == 195.0
    assert presence.known(first * HOUR + 30, 60.0) == 45.0
    presence.forget(first + 1)
    assert presence.known(0.0, 1e300) == 60.0


@pytest.mark.parametrize("days", [1, 13])
def test_a_long_time_is_the_sum_of_its_days(days: int) -> None:
    presence = Presence()
    for minute in range(0, 20 * 1440, 7):
        presence.note(minute, 60.0)
    parts = [presence.known(day * 24 * HOUR, 24 * HOUR) for day in range(2, 2 + days)]
    assert presence.known(2 * 24 * HOUR, days * 24 * HOUR) == sum(parts)
