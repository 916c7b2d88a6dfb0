"""The measured pace of a queue."""

import pytest

from tidegate.gateway.queue.throughput import MIN_SAMPLES, Throughput


def worked(pace: Throughput, seconds: float, times: int, requests: int = 1, start: float = 0.0) -> float:
    """So many groups of requests came back, each after so long; returns when."""
    pace.ended(requests, start, others_wait=True)
    for n in range(times):
        pace.ended(requests, start + (n + 1) * seconds, others_wait=True)
    return start + times * seconds


def test_nothing_is_known_at_first() -> None:
    pace = Throughput()
    worked(pace, 1.0, MIN_SAMPLES - 1)
    assert pace.seconds(1000) == 0.0


@pytest.mark.parametrize(("seconds", "requests"), [(0.001, 1), (0.01, 64), (1.0, 1), (30.0, 1)])
def test_a_steady_pace_is_found(seconds: float, requests: int) -> None:
    pace = Throughput()
    worked(pace, seconds, 200, requests)
    assert pace.seconds(100) == pytest.approx(100 * seconds / requests, rel=0.01)


def test_time_without_anything_waiting_is_not_counted() -> None:
    pace = Throughput()
    end = worked(pace, 0.01, 100)
    pace.ended(1, end + 0.01, others_wait=False)
    assert not pace.measuring
    pace.ended(1, end + 1000, others_wait=True)
    assert pace.seconds(100) == pytest.approx(1.0, rel=0.01)


def test_one_pause_does_not_spoil_it() -> None:
    pace = Throughput()
    end = worked(pace, 0.005, 4000)
    pace.ended(1, end + 3, others_wait=True)
    assert pace.seconds(1) < 0.01


def test_it_follows_a_change_and_forgets_when_told() -> None:
    pace = Throughput()
    end = worked(pace, 0.001, 5000)
    worked(pace, 0.1, 1000, start=end)
    assert pace.seconds(1) == pytest.approx(0.1, rel=0.05)
    pace.reset()
    assert pace.seconds(1) == 0.0
