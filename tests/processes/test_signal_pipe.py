"""Signals as bytes of a pipe."""

import os
import signal

from tidegate.processes.signal_pipe import SignalPipe


def test_signals_come_in_order_and_the_handlers_before_come_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with SignalPipe([signal.SIGUSR1, signal.SIGUSR2]) as pipe:
        assert pipe.wait(0) == b""
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
        came = b""
        while len(came) < 2:
            came += pipe.wait(5)
        assert list(came) == [signal.SIGUSR2, signal.SIGUSR1]
    assert signal.getsignal(signal.SIGUSR1) == before


def test_a_hang_up_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalPipe([signal.SIGHUP]) as pipe:
            os.kill(os.getpid(), signal.SIGHUP)
            assert pipe.wait(0.05) == b""
    finally:
        signal.signal(signal.SIGHUP, before)
