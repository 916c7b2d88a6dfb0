"""How much of a core a revision's replicas use while they are busy: all of one when they compute, next to none when
they wait for something else.

Both accounts are cumulative and come from different places: what a replica used from its engine, how long it was busy
from the gateways, up to a second late. So one measurement proves nothing, and the largest of the last few counts.
"""

from dataclasses import dataclass

# A measurement spans so many busy seconds at least.
SHORTEST = 0.1
# After so long, seconds, an account that has not moved is not late: nothing was used.
LATE = 1.5
_KEPT = 4


@dataclass(frozen=True, slots=True)
class CpuShare:
    """The last measurements, and where the next begins: time, CPU seconds, busy seconds."""

    shares: tuple[float, ...] = ()
    base: tuple[float, float, float] | None = None

    @property
    def value(self) -> float | None:
        """Cores for each busy replica, from 0 to 1; None before it is known."""
        return max(self.shares) if len(self.shares) >= 2 else None

    def plus(self, at: float, cpu_seconds: float, busy_seconds: float) -> "CpuShare":
        """What is known with these accounts at `at`, monotonic seconds. No CPU seconds at all: not measured."""
        here = (at, cpu_seconds, busy_seconds)
        if self.base is None or cpu_seconds <= 0:
            return CpuShare(self.shares, here if cpu_seconds > 0 else None)
        since, used, busy = at - self.base[0], cpu_seconds - self.base[1], busy_seconds - self.base[2]
        if busy <= 0:
            return CpuShare(self.shares, here)  # what an idle replica uses is not the requests'
        if busy < SHORTEST or (used <= 0 and since < LATE):
            return self
        share = min(1.0, max(0.0, used) / busy)
        measured = (share, share) if since >= LATE else (share,)
        return CpuShare((*self.shares, *measured)[-_KEPT:], here)
