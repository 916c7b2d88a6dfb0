"""The times of a replica's start: when it was asked for, began and was ready."""

from dataclasses import dataclass


@dataclass(slots=True)
class ColdStart:
    """A replica's start, as the replica tells it. Times are seconds of time.monotonic, the same in all processes.

    `asked` is when the engine was asked for it, `forked` when its process began, `ready` when it listened.
    """

    mode: str  # "fork" | "spawn"
    asked: float
    forked: float
    ready: float
    measured: bool = False  # its first answer has come

    def phases(self, arrived: float, answered: float) -> tuple[float, ...]:
        """The seconds of COLD_PHASES for a request that came and was answered at these times. The last is the sum."""
        asked = min(max(arrived, self.asked), answered)
        forked = min(max(asked, self.forked), answered)
        ready = min(max(forked, self.ready), answered)
        return asked - arrived, forked - asked, ready - forked, answered - ready, answered - arrived
