"""How and when this process started: what a replica tells of its cold start."""

import os
import time
from typing import Any, Dict, FrozenSet, NamedTuple

SPAWN, FORK = "spawn", "fork"


class StartTime(NamedTuple):
    """A process's beginning: how it came to be, and when it began, in seconds of CLOCK_MONOTONIC."""

    mode: str
    began: float
    first: FrozenSet[str] = frozenset()  # of a fork: what was imported before any model's own folder is known

    def told(self, asked: float, ready: float) -> Dict[str, Any]:
        """As it stands in WELCOME: when the engine was asked, the process began, and it listened."""
        return {"mode": self.mode, "asked": asked, "forked": max(asked, self.began), "ready": ready}


def spawned() -> StartTime:
    """The start of a process that runs a program of its own; to 10 ms, as the kernel keeps it (field 22 of proc(5))."""
    with open("/proc/self/stat", errors="replace") as stat:  # noqa: PTH123 - a Path's import takes longer
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return StartTime(SPAWN, time.monotonic() - age)
