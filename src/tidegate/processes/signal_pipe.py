"""Signals as bytes of a pipe. No code runs inside a handler, and a loop can wait for signals with a time limit."""

import os
import select
import signal
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Any, Self


class SignalPipe:
    """Receives signals of this process inside its `with` block, in the main thread only. See `signal.set_wakeup_fd`."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = tuple(numbers)
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in self._numbers:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # so does nohup(1)
                self._before[number] = signal.signal(number, _nothing)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._read)
        os.close(self._write)

    def wait(self, seconds: float | None) -> bytes:
        """The numbers of the signals that arrived, in order; empty if none did within `seconds` (None: no limit)."""
        readable, _, _ = select.select([self._read], [], [], seconds)
        return os.read(self._read, 4096) if readable else b""


def _nothing(number: int, frame: FrameType | None) -> None:
    """Python writes to the wake-up pipe only for signals that have a handler."""
