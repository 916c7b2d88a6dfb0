"""The CPU share of a revision: how much of a core a busy replica uses. It is near 1 for a model that computes, and near
0 for one that waits for other services.

The engine reports the CPU time, and the gateways report the busy time, up to 1 s later. A single measurement is
therefore unreliable, and the largest of the last four counts.
"""

from dataclasses import dataclass

# A measurement spans at least this many busy seconds.
SHORTEST = 0.1
# After this many seconds, CPU time that has not grown is not late: none was used.
LATE = 1.5
_KEPT = 4


@dataclass(frozen=True, slots=True)
class CpuShare:
    """The last measurements, and the beginning of the next one: time, CPU seconds, busy seconds."""

    shares: tuple[float, ...] = ()
    base: tuple[float, float, float] | None = None

    @property
    def value(self) -> float | None:
        """The cores that a busy replica uses, from 0 to 1; None before two measurements."""
        return max(self.shares) if len(self.shares) >= 2 else None

    def plus(self, at: float, cpu_seconds: float, busy_seconds: float) -> "CpuShare":
        """The share after new totals at `at`, monotonic seconds. CPU seconds of 0 were not measured."""
        here = (at, cpu_seconds, busy_seconds)
        if self.base is None or cpu_seconds <= 0:
            return CpuShare(self.shares, here if cpu_seconds > 0 else None)
        since, used, busy = at - self.base[0], cpu_seconds - self.base[1], busy_seconds - self.base[2]
        if busy <= 0:
            return CpuShare(self.shares, here)  # the CPU time of an idle replica is not that of requests
        if busy < SHORTEST or (used <= 0 and since < LATE):
            return self
        share = min(1.0, max(0.0, used) / busy)
        measured = (share, share) if since >= LATE else (share,)
        return CpuShare((*self.shares, *measured)[-_KEPT:], here)
