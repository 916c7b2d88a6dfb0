"""How a replica ended, in words."""

import signal

import pytest

from tidegate.engines.replicas.endings import overdue, sentence, signal_of

LATE = "The replica was ended at its deadline"


@pytest.mark.parametrize(
    ("status", "starting", "words"),
    [
        (None, False, "The replica ended, status unknown; see the log."),
        (3 << 8, True, "The replica exited with code 3 before it was ready; see the log."),
        (0, False, "The replica exited with code 0; see the log."),
        (
            signal.SIGKILL,
            False,
            "The replica was ended by SIGKILL: by somebody, or by the kernel when memory runs out; see the log.",
        ),
        (signal.SIGSEGV | 0x80, True, "The replica was ended by SIGSEGV before it was ready; see the log."),
        (
            signal.SIGALRM,
            True,
            f"{LATE} before it was ready: loading took too long; the log shows where it was.",
        ),
        (
            signal.SIGALRM,
            False,
            f"{LATE}: a prediction took longer than it may; the log shows where it was.",
        ),
        (40, False, "The replica was ended by signal 40; see the log."),
    ],
)
def test_sentence(status: int | None, starting: bool, words: str) -> None:
    assert sentence(status, starting=starting) == words


def test_signal_of() -> None:
    assert signal_of(signal.SIGALRM) == signal.SIGALRM
    assert signal_of(1 << 8) is None
    assert signal_of(None) is None


def test_overdue() -> None:
    end = "and its own alarm did not end it. The model must not handle, block or reset SIGALRM."
    begin = "The replica was ended after its deadline"
    assert overdue(starting=True) == f"{begin}: loading took too long, {end}"
    assert overdue(starting=False) == f"{begin}: a prediction took longer than it may, {end}"
