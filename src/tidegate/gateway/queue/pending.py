"""A request that waits for its answer, as the queue and the lanes see it."""

from typing import Protocol

from tidegate.core.errors import TidegateError
from tidegate.core.planes.route_table import RevisionRoute
from tidegate.gateway.queue.start_times import ColdStart
from tidegate_worker.ipc import wire


class Carrier(Protocol):
    """The connection that a request was sent on: a lane."""

    def cancel(self, request: int) -> None:
        """Tell the replica that the caller of this request has gone."""
        ...


class Queue(Protocol):
    """The queue of a revision, where a request waits."""

    def submit(self, request: "Pending", now: float) -> None:
        """Take a request in. Raises TooManyRequests, and Unavailable where the request could not begin in time."""
        ...

    def cancel(self, request: "Pending") -> None:
        """Remove a request: its caller has gone."""
        ...


class Pending:
    """A request in a queue. Its maker is called back once, by `answered` or by `failed`, unless the maker cancels it.

    Times are seconds of time.monotonic.
    """

    __slots__ = (
        "alone", "body", "cold", "crashes", "deadline", "done", "group", "id", "lane", "latest", "meta",
        "moved", "queue", "queued_at", "route", "sent_at", "turn",
    )  # fmt: skip

    def __init__(self) -> None:
        self.body = self.meta = b""
        self.deadline = 0.0
        self.latest = 0.0  # the deadline while there is no replica: the model's time has not begun then
        self.done = False  # answered, failed or cancelled
        self.queue: Queue | None = None
        self.route: RevisionRoute | None = None  # the route of that queue
        self.id = 0
        self.turn = 0  # its place in the queue; the first id that it had
        self.queued_at = self.sent_at = 0.0
        self.lane: Carrier | None = None  # None while it waits
        self.group = 0  # the number of the group in which it was sent on that lane
        self.alone = False  # predicted by itself, as it was in flight when a replica died, or its batch overran
        self.crashes = 0  # replicas that died while they had no other request
        self.moved = False  # it was taken back from a slow replica
        self.cold: ColdStart | None = None  # the start that it waited for

    @property
    def begun(self) -> bool:
        """Whether a model may have begun to predict it."""
        return self.lane is not None or (self.alone and self.sent_at > 0)

    def waited_for(self, start: ColdStart, *, first: bool) -> None:
        """The replica that it waited for has started. `first` of the requests that waited for this start."""
        raise NotImplementedError

    def may_take(self, timeout: float) -> float:
        """The seconds that its model may take once there is a replica. `timeout` is the limit of all requests."""
        return timeout

    def find_queue(self) -> Queue:
        """The queue that it belongs to now. Raises NotFound, BadRequest or Unavailable where nothing serves."""
        raise NotImplementedError

    def answered(self, answer: wire.Answer) -> None:
        """A replica has answered."""
        raise NotImplementedError

    def failed(self, error: TidegateError) -> None:
        """No replica will answer; `error` says why."""
        raise NotImplementedError
