"""A child process in which a model is tried. If the model breaks the child, the replica goes on without a finding.

A child that is forked after the load shares the loaded model. But a fork keeps one thread only. Where the load has
started threads, the trial runs in a child that was forked before, and that child loads the model itself.
"""

import json
import os
import select
import signal
import time
from contextlib import suppress
from typing import Any, Callable, Dict, Optional

from tidegate_worker.fork import random_generators
from tidegate_worker.process import outlets, time_limit
from tidegate_worker.process.log import log_exception

Task = Callable[[], Dict[str, Any]]
"""Runs in the child. What it returns must fit into JSON."""

_PR_SET_PDEATHSIG = 1


class NoFinding(Exception):
    """The child has ended without a finding; the text says why."""


class TrialChild:
    """A child that is forked at once, and idle until `run`. `task` runs in it."""

    def __init__(self, task: Task) -> None:
        """Raises OSError."""
        start, self._start = map(outlets.moved_high, os.pipe())
        self._result, result = map(outlets.moved_high, os.pipe())
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._start)
            os.close(self._result)
            _run_child(task, start, result)
        os.close(start)
        os.close(result)

    def run(self, seconds: float) -> Dict[str, Any]:
        """Let the task begin, and wait for its result at most this many seconds. Raises NoFinding."""
        with suppress(OSError):  # it has ended
            os.write(self._start, b"1")
        try:
            text = _read_line(self._result, time.monotonic() + seconds)
        except TimeoutError:
            raise NoFinding(f"it took longer than {seconds:g} s") from None
        except (OSError, ValueError) as error:
            raise NoFinding(f"the pipe from its process failed ({error})") from None
        finally:
            status = self.end()
        try:
            result: Dict[str, Any] = json.loads(text)
        except ValueError:
            raise NoFinding(_how_it_ended(status)) from None
        return result

    def end(self) -> int:
        """End the child, and what the model has started in it. Returns its wait status."""
        if not self.pid:
            return 0
        pid, self.pid = self.pid, 0
        for pipe in (self._start, self._result):
            with suppress(OSError):  # the model has closed it
                os.close(pipe)
        for kill in (os.killpg, os.kill):  # the group has the processes that the model has started
            with suppress(OSError):
                kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):  # the model has reaped it
            return os.waitpid(pid, 0)[1]
        return 0


def thread_count() -> int:
    """The number of this process's threads, with those that libraries have started in native code."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names, not paths


def _run_child(task: Task, start: int, result: int) -> None:
    """The child's whole life."""
    try:
        _end_with_parent()
        with suppress(OSError):  # a model that ends its process group must not end the replica
            os.setpgid(0, 0)
        time_limit.stop_publishing()
        signal.setitimer(signal.ITIMER_REAL, 0)
        random_generators.reseed()
        outlets.close_status()
        if os.read(start, 1):
            text = json.dumps(task()).encode() + b"\n"
            while text:
                text = text[os.write(result, text) :]
    except BaseException as error:
        log_exception("the trial in a child process failed", error)
    finally:
        os._exit(0)


def _end_with_parent() -> None:
    """Let the kernel end this process with its parent. Where that is not possible, it ends after its task."""
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _read_line(pipe: int, until: float) -> bytes:
    """A line, or its beginning if the pipe ends before. Raises TimeoutError at `until`, in monotonic seconds."""
    parts = []
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            raise TimeoutError
        part = os.read(pipe, 65536)
        parts.append(part)
        if not part or part.endswith(b"\n"):
            return b"".join(parts)


def _how_it_ended(status: int) -> str:
    number: Optional[int] = status & 127
    if number and number != signal.SIGKILL:
        return f"it ended the process by {signal.Signals(number).name}"
    return "it ended the process" if not number else "the process was killed, as when memory is short"
