"""The pause before a revision's next start, and the record of failures that it depends on."""

import math
from dataclasses import dataclass, replace

# Once a replica has been ready for this many seconds, earlier failures do not count any more.
STEADY_SECONDS = 60.0


def backoff(failures: int, longest: float) -> float:
    """The pause in seconds after this many failures in a row: 0, 0.5, 1, 2, 4 … up to `longest`."""
    return min(longest, 0.5 * 2.0 ** min(failures - 1, 60)) if failures > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Failures:
    """The recent failures of a revision's replicas. Times are monotonic seconds.

    Replicas that fail together count as one failure: a failure lengthens the pause only where its replica was started
    after the last one.
    """

    in_row: int = 0  # failures in a row
    starts: int = 0  # starts in a row of replicas that never became ready
    failed_at: float = -math.inf
    start_after: float = -math.inf  # no replica is started before this time
    message: str = ""

    def start_failed(self, message: str, started: float, now: float, longest: float) -> "Failures":
        """Note that a replica which was started at `started` ended before it was ready, or was given up."""
        starts = self.starts + 1
        if started <= self.failed_at:
            return replace(self, starts=starts, message=message)
        in_row = self.in_row + 1
        return Failures(in_row, starts, now, now + backoff(in_row, longest), message)

    def crashed(self, message: str, ready_since: float, now: float, longest: float) -> "Failures":
        """Note that a replica which was ready since `ready_since` ended by itself. The first time has no pause."""
        if ready_since <= self.failed_at:
            return replace(self, message=message)
        before = 0 if now - ready_since >= STEADY_SECONDS else self.in_row
        return Failures(before + 1, self.starts, now, now + backoff(before, longest), message)

    def became_ready(self) -> "Failures":
        """Note that a replica is ready."""
        return replace(self, starts=0, message="")
