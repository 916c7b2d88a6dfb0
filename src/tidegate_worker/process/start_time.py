"""The start of this process, as a replica reports it for the figures on cold starts."""

import os
import time
from typing import Any, Dict, FrozenSet, NamedTuple

SPAWN, FORK = "spawn", "fork"


class StartTime(NamedTuple):
    """How a process was started, and when it began, in seconds of CLOCK_MONOTONIC."""

    mode: str
    began: float
    early_modules: FrozenSet[str] = frozenset()  # of a fork: see `shadowed_modules.remove`

    def to_json(self, asked: float, ready: float) -> Dict[str, Any]:
        """The start as WELCOME has it: when the engine was asked, when the process began, and when it listened."""
        return {"mode": self.mode, "asked": asked, "forked": max(asked, self.began), "ready": ready}


def of_spawned() -> StartTime:
    """The start of a spawned process. The kernel keeps it to 10 ms (field 22 of /proc/self/stat, see proc(5))."""
    with open("/proc/self/stat", errors="replace") as stat:  # noqa: PTH123 - a Path's import takes longer
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return StartTime(SPAWN, time.monotonic() - age)
