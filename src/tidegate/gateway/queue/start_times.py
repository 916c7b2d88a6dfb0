"""When a replica was asked for, began and was ready: what it tells of its own start."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class ColdStart:
    """A replica's start as it tells it itself; times are those of time.monotonic, the same in all processes.

    `asked` is when the engine was asked for it, `forked` when its process began, `ready` when it listened.
    """

    mode: str  # "fork" | "spawn"
    asked: float
    forked: float
    ready: float
    measured: bool = False  # its first answer has come

    @classmethod
    def read(cls, welcome: Mapping[str, Any]) -> "ColdStart | None":
        """From a WELCOME; None where it does not tell. Raises KeyError, TypeError or ValueError."""
        told = welcome.get("start")
        if not told:
            return None
        return cls(str(told["mode"]), float(told["asked"]), float(told["forked"]), float(told["ready"]))

    def phases(self, arrived: float, answered: float) -> tuple[float, ...]:
        """The seconds of COLD_PHASES, of a request that came and was answered then. All but the last add up to it."""
        asked = max(arrived, self.asked)
        forked = max(asked, self.forked)
        ready = max(forked, self.ready)
        return asked - arrived, forked - asked, ready - forked, answered - ready, answered - arrived
