"""Who uses the connection to a replica, as that connection sees it."""

from typing import Protocol, TypeVar

from tidegate.gateway.queue.pending import Pending
from tidegate_worker.ipc import wire

Answered = list[tuple[Pending, wire.Answer]]

Lane = TypeVar("Lane", contravariant=True)


class Owner(Protocol[Lane]):
    """Who uses a connection, and hears of what happens on it."""

    def connected(self, _lane: Lane) -> None:
        """The replica has welcomed us, or changed what it takes: it may be sent requests."""
        ...

    def answered(self, _lane: Lane, answered: Answered) -> None:
        """Answers have come."""
        ...

    def overtakes(self, request: Pending) -> bool:
        """An answer has come from where a request was taken back: whether it counts, and is awaited nowhere else."""
        ...

    def returned(self, _lane: Lane, requests: list[Pending]) -> None:
        """Requests come back that were not begun."""
        ...

    def lost(self, lane: Lane) -> None:
        """The connection has ended; what it held was in flight."""
        ...
