"""When a process is started again, and in which order processes end."""

import pytest

from tidegate.core import restart_policy


def test_restarts_wait_longer_and_longer_up_to_a_bound() -> None:
    assert [restart_policy.restart_delay(deaths) for deaths in range(1, 9)] == [0, 0.2, 0.5, 1, 2, 5, 5, 5]


@pytest.mark.parametrize(
    ("before", "lived_seconds", "deaths"),
    [(0, 0.1, 1), (0, 3600, 1), (3, 59.9, 4), (3, 60, 1)],
    ids=["first", "first after a long life", "again soon", "again after a steady minute"],
)
def test_a_steady_minute_is_a_new_beginning(before: int, lived_seconds: float, deaths: int) -> None:
    assert restart_policy.deaths_in_a_row(before, lived_seconds) == deaths


@pytest.mark.parametrize(
    ("deaths", "exit_code", "hopeless"),
    [(1, 1, False), (4, -9, False), (5, 1, True), (1, restart_policy.MISCONFIGURED, True)],
)
def test_a_start_is_given_up_after_five_deaths_or_at_once_when_settings_are_wrong(
    deaths: int, exit_code: int, hopeless: bool
) -> None:
    assert restart_policy.is_hopeless(deaths, exit_code) is hopeless


@pytest.mark.parametrize(
    ("started", "ended"),
    [
        ((), ()),
        (("control",), (("control",),)),
        (
            ("registry", "control", "agent", "gateway 0", "gateway 1"),
            (("gateway 1", "gateway 0"), ("agent",), ("control",), ("registry",)),
        ),
    ],
)
def test_what_was_started_first_ends_last_and_a_role_together(
    started: tuple[str, ...], ended: tuple[tuple[str, ...], ...]
) -> None:
    assert restart_policy.ending_order(started) == ended
