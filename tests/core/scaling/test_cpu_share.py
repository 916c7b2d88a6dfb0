"""Whether a model computes or waits, from two accounts that are not read at the same time."""

import pytest

from tidegate.core.scaling.cpu_share import CpuShare


def after(*accounts: tuple[float, float, float]) -> float | None:
    """The share after (time, CPU seconds, busy seconds), one after another."""
    share = CpuShare()
    for account in accounts:
        share = share.plus(*account)
    return share.value


def test_one_measurement_proves_nothing() -> None:
    assert after((0, 1.0, 0.0), (0.3, 1.01, 0.3)) is None
    assert after((0, 1.0, 0.0), (0.3, 1.01, 0.3), (0.6, 1.02, 0.6)) == pytest.approx(1 / 30)


def test_a_model_that_computes() -> None:
    assert after((0, 1.0, 0.0), (1, 1.9, 1.0), (2, 3.0, 2.0)) == 1.0


def test_what_is_not_measured_is_not_known() -> None:
    assert after(*((n, 0.0, float(n)) for n in range(10))) is None


def test_what_an_idle_replica_uses_is_not_the_requests() -> None:
    assert after((0, 1.0, 5.0), (1, 9.0, 5.0), (1.3, 9.003, 5.3), (1.6, 9.006, 5.6)) == pytest.approx(0.01)


def test_an_account_that_is_read_late_does_not_make_a_model_wait() -> None:
    """It computes since 0, but what it used is read once a second, at 0.05, 1.05, 2.05 and so on."""
    looks = [n / 10 for n in range(1, 41)]
    read = [(t, 1.0 + max(0.0, int(t - 0.05) + 0.05 if t >= 0.05 else 0.0), t) for t in looks]
    values = [value for n in range(1, len(read)) if (value := after((-0.5, 1.0, 0.0), *read[:n])) is not None]
    assert values
    assert min(values) > 0.5


def test_an_account_that_never_moves_means_that_nothing_is_used() -> None:
    assert after((0, 1.0, 0.0), (1, 1.0, 1.0)) is None
    assert after((0, 1.0, 0.0), (1, 1.0, 1.0), (2, 1.0, 2.0)) == 0.0
