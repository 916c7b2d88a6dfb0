"""What a queue needs to have a replica started."""

from typing import Protocol

from tidegate.core.endpoint.revision import RevisionId


class Waker(Protocol):
    """Wakes revisions: the connection to the engine's agent."""

    def wake(self, revision: RevisionId) -> None:
        """Have a replica ready or starting. The queue then hears of its address."""
        ...
