"""What a connection to a replica needs of its user."""

from typing import Protocol, TypeVar

from tidegate.gateway.queue.pending import Pending
from tidegate_worker.ipc import wire

Answered = list[tuple[Pending, wire.Answer]]

Lane = TypeVar("Lane", contravariant=True)


class Owner(Protocol[Lane]):
    """The user of a connection. It is called when something happens there."""

    def connected(self, _lane: Lane) -> None:
        """The replica has sent its WELCOME, or has changed the number of requests that it takes."""
        ...

    def answered(self, _lane: Lane, answered: Answered) -> None:
        """Answers have come."""
        ...

    def overtakes(self, request: Pending) -> bool:
        """A replica has answered a request that was taken back. Whether this answer counts, as the first one."""
        ...

    def returned(self, _lane: Lane, requests: list[Pending]) -> None:
        """The replica returns requests that it has not begun."""
        ...

    def lost(self, lane: Lane) -> None:
        """The connection has ended. Its requests were in flight."""
        ...
