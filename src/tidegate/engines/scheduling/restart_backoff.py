"""How long to wait before a replica is started again, and the account of failures that this depends on."""

import math
from dataclasses import dataclass, replace

# A replica that was ready for so many seconds ends the series of failures before it.
STEADY_SECONDS = 60.0


def backoff(failures: int, longest: float) -> float:
    """Seconds to wait after so many failures in a row: 0, 0.5, 1, 2, 4 … up to `longest`."""
    return min(longest, 0.5 * 2.0 ** min(failures - 1, 60)) if failures > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Failures:
    """What went wrong with a revision's replicas lately. Times are monotonic seconds.

    Replicas that fail together are one failure: only the failure of one started since the last lengthens the wait.
    """

    in_row: int = 0  # failures, each of a replica started after the one before
    starts: int = 0  # starts in a row that never became ready
    failed_at: float = -math.inf
    start_after: float = -math.inf  # no replica is started before
    message: str = ""

    def start_failed(self, message: str, started: float, now: float, longest: float) -> "Failures":
        """A replica that was started at `started` ended, or was given up, before it was ready."""
        starts = self.starts + 1
        if started <= self.failed_at:
            return replace(self, starts=starts, message=message)
        in_row = self.in_row + 1
        return Failures(in_row, starts, now, now + backoff(in_row, longest), message)

    def crashed(self, message: str, ready_since: float, now: float, longest: float) -> "Failures":
        """A replica that was ready since `ready_since` ended unasked. The first time, the next start is at once."""
        if ready_since <= self.failed_at:
            return replace(self, message=message)
        before = 0 if now - ready_since >= STEADY_SECONDS else self.in_row
        return Failures(before + 1, self.starts, now, now + backoff(before, longest), message)

    def became_ready(self) -> "Failures":
        """A replica is ready: starting works."""
        return replace(self, starts=0, message="")
