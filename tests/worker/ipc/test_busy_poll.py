"""When a process polls during a wait, and when it sleeps."""

import pytest

from tidegate_worker.ipc.busy_poll import BUSY_POLL_SECONDS, BusyPoll


def after(*waits: float) -> bool:
    poll = BusyPoll()
    for seconds in waits:
        poll.learn(seconds)
    return poll.watches


def test_nothing_is_watched_for_before_it_has_come_quickly_for_a_while() -> None:
    assert not after()
    assert not after(*[0.0001] * 10)
    assert after(*[0.0001] * 30)


@pytest.mark.parametrize("seconds", [BUSY_POLL_SECONDS * 1.5, 0.01, 60.0])
def test_what_takes_longer_than_a_watch_is_slept_through(seconds: float) -> None:
    assert not after(*[seconds] * 100)


def test_one_long_pause_does_not_end_it_for_good() -> None:
    assert not after(*[0.0001] * 100, 30.0)
    assert after(*[0.0001] * 100, 30.0, *[0.0001] * 20)
