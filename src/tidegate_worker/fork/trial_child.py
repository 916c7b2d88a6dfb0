"""A child process in which a model is tried: whatever it breaks there, the replica goes on without.

A child that is forked after the model was loaded shares its memory. But a fork keeps one thread only: where loading has
started others, the child is one that was forked before, and loads the model itself.
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
"""What a child finds out, as JSON."""

_PR_SET_PDEATHSIG = 1


class NoFinding(Exception):
    """The child has found out nothing; the text says why."""


class TrialChild:
    """Forked at once, and idle until it is asked. `task` runs in it."""

    def __init__(self, task: Task) -> None:
        """Raises OSError."""
        order, self._order = map(outlets.out_of_the_way, os.pipe())
        self._found, found = map(outlets.out_of_the_way, os.pipe())
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._order)
            os.close(self._found)
            _be(task, order, found)
        os.close(order)
        os.close(found)

    def ask(self, seconds: float) -> Dict[str, Any]:
        """Let it begin, and wait for what it finds, at most so long. Raises NoFinding."""
        with suppress(OSError):  # it has ended
            os.write(self._order, b"1")
        try:
            text = _read(self._found, time.monotonic() + seconds)
        except TimeoutError:
            raise NoFinding(f"it took longer than {seconds:g} s") from None
        except (OSError, ValueError) as error:
            raise NoFinding(f"its process cannot be heard ({error})") from None
        finally:
            status = self.end()
        try:
            found: Dict[str, Any] = json.loads(text)
        except ValueError:
            raise NoFinding(_ended(status)) from None
        return found

    def end(self) -> int:
        """Let it go. Returns its wait status."""
        if not self.pid:
            return 0
        pid, self.pid = self.pid, 0
        for pipe in (self._order, self._found):
            with suppress(OSError):  # the model has closed it
                os.close(pipe)
        for kill in (os.killpg, os.kill):  # what the model has started in it too
            with suppress(OSError):
                kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):  # the model reaps children that are not its own
            return os.waitpid(pid, 0)[1]
        return 0


def threads() -> int:
    """How many threads the kernel knows of: those of libraries too."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names, not paths


def _be(task: Task, order: int, found: int) -> None:
    """Be the child."""
    try:
        _end_with_parent()
        with suppress(OSError):  # a group of its own: a model that ends its process's group is not to end its replica
            os.setpgid(0, 0)
        time_limit.withdraw()
        signal.setitimer(signal.ITIMER_REAL, 0)
        random_generators.reseed()
        outlets.leave_status()
        if os.read(order, 1):
            text = json.dumps(task()).encode() + b"\n"
            while text:
                text = text[os.write(found, text) :]
    except BaseException as error:
        log_exception("a trial failed", error)
    finally:
        os._exit(0)


def _end_with_parent() -> None:
    """Where the kernel can be asked for it; else it ends with its task."""
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _read(pipe: int, until: float) -> bytes:
    """A line, or what there is of it at the pipe's end. Raises TimeoutError."""
    parts = []
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            raise TimeoutError
        part = os.read(pipe, 65536)
        parts.append(part)
        if not part or part.endswith(b"\n"):
            return b"".join(parts)


def _ended(status: int) -> str:
    number: Optional[int] = status & 127
    if number and number != signal.SIGKILL:
        return f"it ended the process by {signal.Signals(number).name}"
    return "it ended the process" if not number else "the process was killed, as when memory is short"
