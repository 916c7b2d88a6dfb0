"""The time of this machine."""

import time

from tidegate.ports import Clock


class SystemClock:
    """The operating system's two clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


_: type[Clock] = SystemClock
