"""Who wakes revisions, as a queue sees it."""

from typing import Protocol

from tidegate.core.endpoint.revision import RevisionId


class Waker(Protocol):
    """Who wakes revisions: the connection to the engine's agent."""

    def wake(self, revision: RevisionId) -> None:
        """Make sure that a replica is ready or starting, and tell the queue of its addresses."""
        ...
