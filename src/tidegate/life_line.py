"""The life line: a pipe whose write end only the supervisor has. When that end is gone, every process ends.

Unlike PR_SET_PDEATHSIG it also works for processes whose parent is another one, or ended before.
"""

import os
import threading
import time
from collections.abc import Callable

GRACE_SECONDS = 1.5
"""What a process may take to end by itself once its supervisor is gone."""


def watch(fd: int, on_death: Callable[[], None] | None = None) -> None:
    """Wait in a daemon thread for the supervisor's end, then end this process; `fd` is the pipe's read end.

    `on_death` is called in that thread, to tidy up; after `GRACE_SECONDS` the process ends even if it hangs.
    """
    threading.Thread(target=_wait, args=(fd, on_death), name="life line", daemon=True).start()


def _wait(fd: int, on_death: Callable[[], None] | None) -> None:
    while os.read(fd, 1):  # nobody writes
        pass
    if on_death is not None:
        # Armed first: `on_death` itself may hang.
        threading.Thread(target=_end_after, args=(GRACE_SECONDS,), name="life line: grace", daemon=True).start()
        on_death()
    else:
        os._exit(1)


def _end_after(seconds: float) -> None:
    time.sleep(seconds)
    os._exit(1)
