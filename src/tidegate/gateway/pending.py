"""A request that waits for its answer, as the queue and the lanes see it."""

from typing import TYPE_CHECKING

from tidegate.core.errors import TidegateError
from tidegate.core.traffic import RevisionRoute
from tidegate_worker import wire

if TYPE_CHECKING:
    from tidegate.gateway.cold import ColdStart
    from tidegate.gateway.queue import RevisionQueue
    from tidegate.gateway.transport import Lane


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
        self.queue: RevisionQueue | None = None  # that holds it
        self.route: RevisionRoute | None = None  # of that queue
        self.id = 0
        self.turn = 0  # its place among all that waits; at first its id
        self.queued_at = self.sent_at = 0.0
        self.lane: Lane | None = None  # at a replica; else it waits
        self.group = 0  # of that lane, in which it travelled
        self.alone = False  # to be predicted by itself: it was in flight when a replica died, or its batch overran
        self.crashes = 0  # deaths of a replica at which it was by itself
        self.moved = False  # taken back from a replica that was held up
        self.cold: ColdStart | None = None  # that it waited for

    @property
    def begun(self) -> bool:
        """Whether a model has it, or may have had it."""
        return self.lane is not None or (self.alone and self.sent_at > 0)

    def waited_for(self, start: "ColdStart", *, first: bool) -> None:
        """There was no replica when it came; now there is. `first` of those that waited for it."""
        raise NotImplementedError

    def may_take(self, timeout: float) -> float:
        """How long its model may take from when there is a replica; `timeout` is what any request may."""
        return timeout

    def find_queue(self) -> "RevisionQueue":
        """The queue that it belongs in now. Raises when nothing serves."""
        raise NotImplementedError

    def answered(self, answer: wire.Answer) -> None:
        """A replica has answered."""
        raise NotImplementedError

    def failed(self, error: TidegateError) -> None:
        """No replica will answer."""
        raise NotImplementedError
