"""The life line: a pipe whose write end only the supervisor has. When the supervisor ends, every process ends.

Unlike PR_SET_PDEATHSIG it also works for processes whose parent is another process, or has ended.
"""

import os
import threading
import time
from collections.abc import Callable

GRACE_SECONDS = 1.5
"""The seconds in which a process may end by itself after its supervisor."""


def watch(fd: int, on_death: Callable[[], None] | None = None) -> None:
    """Watch the pipe's read end `fd` in a daemon thread, and end this process when the supervisor ends.

    `on_death` is called in that thread to tidy up. After `GRACE_SECONDS` the process ends even where `on_death` hangs.
    """
    threading.Thread(target=_wait, args=(fd, on_death), name="life line", daemon=True).start()


def _wait(fd: int, on_death: Callable[[], None] | None) -> None:
    while os.read(fd, 1):  # nobody writes
        pass
    if on_death is not None:
        # Before the call, as `on_death` may hang.
        threading.Thread(target=_end_after, args=(GRACE_SECONDS,), name="life line: grace", daemon=True).start()
        on_death()
    else:
        os._exit(1)


def _end_after(seconds: float) -> None:
    time.sleep(seconds)
    os._exit(1)
