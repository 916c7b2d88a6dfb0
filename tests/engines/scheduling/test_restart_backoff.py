"""How long to wait before the next start."""

import pytest

from tidegate.engines.scheduling.restart_backoff import STEADY_SECONDS, Failures, backoff


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0), (1, 0.5), (2, 1), (3, 2), (4, 4), (7, 32), (8, 60), (9, 60), (100_000, 60)],
)
def test_backoff(failures: int, seconds: float) -> None:
    assert backoff(failures, 60.0) == seconds


def test_the_first_restart_of_what_was_ready_is_at_once_and_then_ever_later() -> None:
    failures, now, waits = Failures(), 100.0, []
    for _ in range(5):
        failures = failures.crashed("dead", now - 1, now, 60.0)
        waits.append(failures.start_after - now)
        now = failures.start_after + 2
    assert waits == [0, 0.5, 1, 2, 4]


def test_a_steady_replica_ends_the_series() -> None:
    failures = Failures(in_row=5, failed_at=100.0)
    assert failures.crashed("dead", 110.0, 110.0 + STEADY_SECONDS, 60.0).start_after == 110.0 + STEADY_SECONDS
    assert failures.crashed("dead", 110.0, 109.0 + STEADY_SECONDS, 60.0).start_after > 110.0 + STEADY_SECONDS


def test_replicas_that_die_together_are_one_failure() -> None:
    first = Failures().crashed("dead", 10.0, 100.0, 60.0)
    second = first.crashed("dead", 20.0, 100.0, 60.0)
    assert second.start_after == first.start_after == 100.0
    starts = Failures().start_failed("bad", 99.0, 100.0, 60.0).start_failed("bad", 99.5, 100.1, 60.0)
    assert (starts.starts, starts.in_row, starts.start_after) == (2, 1, 100.5)


def test_failed_starts_are_counted_until_one_is_ready() -> None:
    failures = Failures().start_failed("bad", 99.0, 100.0, 60.0)
    failures = failures.start_failed("worse", 101.0, 102.0, 60.0)
    assert (failures.starts, failures.message, failures.start_after) == (2, "worse", 103.0)
    ready = failures.became_ready()
    assert (ready.starts, ready.message) == (0, "")
    assert ready.in_row == 2  # it is yet to prove itself steady
