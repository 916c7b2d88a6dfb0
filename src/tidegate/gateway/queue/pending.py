"""A request that waits for its answer, as the queue and the lanes see it."""

from typing import Protocol

from tidegate.core.errors import TidegateError
from tidegate.core.planes.route_table import RevisionRoute
from tidegate.gateway.queue.start_times import ColdStart
from tidegate_worker.ipc import wire


class Carrier(Protocol):
    """What a request was sent by: a lane."""

    def cancel(self, request: int) -> None:
        """Say that nobody waits for the request of this id any more."""
        ...


class Queue(Protocol):
    """What a request waits in: the queue of a revision."""

    def submit(self, request: "Pending", now: float) -> None:
        """Take a request in. Raises TooManyRequests or Unavailable where it would wait in vain."""
        ...

    def cancel(self, request: "Pending") -> None:
        """Forget a request: its caller has gone."""
        ...


class Pending:
    """Whoever makes one hears `answered` or `failed`, once, unless it cancels it. Times are those of time.monotonic."""

    __slots__ = (
        "alone", "body", "cold", "crashes", "deadline", "done", "group", "id", "lane", "latest", "meta",
        "moved", "queue", "queued_at", "route", "sent_at", "turn",
    )  # fmt: skip

    def __init__(self) -> None:
        self.body = self.meta = b""
        self.deadline = 0.0
        self.latest = 0.0  # the deadline of one that waits for a first replica: the model's time has not begun
        self.done = False  # answered, failed or cancelled: nobody waits for it any more
        self.queue: Queue | None = None  # that holds it
        self.route: RevisionRoute | None = None  # of that queue
        self.id = 0
        self.turn = 0  # its place among all that waits; at first its id
        self.queued_at = self.sent_at = 0.0
        self.lane: Carrier | None = None  # at a replica; else it waits
        self.group = 0  # of that lane, in which it travelled
        self.alone = False  # to be predicted by itself: it was in flight when a replica died, or its batch overran
        self.crashes = 0  # deaths of a replica at which it was by itself
        self.moved = False  # taken back from a replica that was held up
        self.cold: ColdStart | None = None  # that it waited for

    @property
    def begun(self) -> bool:
        """Whether a model has it, or may have had it."""
        return self.lane is not None or (self.alone and self.sent_at > 0)

    def waited_for(self, start: ColdStart, *, first: bool) -> None:
        """There was no replica when it came; now there is. `first` of those that waited for it."""
        raise NotImplementedError

    def may_take(self, timeout: float) -> float:
        """How long its model may take from when there is a replica; `timeout` is what any request may."""
        return timeout

    def find_queue(self) -> Queue:
        """The queue that it belongs in now. Raises when nothing serves."""
        raise NotImplementedError

    def answered(self, answer: wire.Answer) -> None:
        """A replica has answered."""
        raise NotImplementedError

    def failed(self, error: TidegateError) -> None:
        """No replica will answer."""
        raise NotImplementedError
