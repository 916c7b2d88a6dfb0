"""A recorded request that is sent again."""

from collections.abc import Callable

from tidegate.core.errors import TidegateError, Unavailable
from tidegate.gateway.queue.pending import Pending
from tidegate.gateway.queue.revision_queue import RevisionQueue
from tidegate.gateway.queue.start_times import ColdStart
from tidegate.gateway.replay.recordings import Recording
from tidegate_worker.ipc import wire


class ReplayedRequest(Pending):
    """A recorded request in a revision's queue. `settled` is called when it is answered or has failed."""

    __slots__ = ("answer", "error", "recording", "seconds", "settled")

    def __init__(self, recording: Recording, seconds: float, settled: Callable[["ReplayedRequest"], None]) -> None:
        super().__init__()
        self.seconds = seconds  # the most that it may take
        self.recording, self.settled = recording, settled
        self.meta, self.body = recording.meta, recording.body
        self.answer: wire.Answer | None = None
        self.error: TidegateError | None = None

    def waited_for(self, start: ColdStart, *, first: bool) -> None:
        """Do nothing: no account counts it."""

    def may_take(self, timeout: float) -> float:
        return min(timeout, self.seconds)

    def find_queue(self) -> RevisionQueue:
        raise Unavailable("The revision that a recorded request was asked of is gone; it is asked of no other.")

    def answered(self, answer: wire.Answer) -> None:
        self.answer = answer
        self.settled(self)

    def failed(self, error: TidegateError) -> None:
        self.error = error
        self.done = True
        self.settled(self)
