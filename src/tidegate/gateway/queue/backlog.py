"""What waits in a queue: two lines in order of arrival, one for requests that must be predicted alone."""

from collections import deque
from collections.abc import Iterator

from tidegate.gateway.queue.pending import Pending

# Requests that nobody waits for any more stay in their line until they come first, or are so many and half of it.
_MANY_DEAD = 64
# An alarm is due when a request waits so long, seconds, and again when the oldest waits so many times as long.
FIRST_ALARM_SECONDS, ALARM_AGAIN_TIMES = 0.1, 2.5


class Backlog:
    """`count` and `bytes` are of the requests that somebody waits for."""

    def __init__(self) -> None:
        self.count = self.bytes = 0
        self._lines: dict[bool, deque[Pending]] = {False: deque(), True: deque()}
        self._alarm_at = FIRST_ALARM_SECONDS

    def put(self, request: Pending, *, first: bool = False) -> None:
        """Add a request at the end of its line, or at its beginning."""
        self.count += 1
        self.bytes += len(request.body)
        line = self._lines[request.alone]
        (line.appendleft if first else line.append)(request)

    def first(self, *, alone: bool) -> Pending | None:
        """The first in one of the lines."""
        line = self._lines[alone]
        while line and line[0].done:
            line.popleft()
        return line[0] if line else None

    def pop(self, *, alone: bool) -> Pending:
        """Take out what `first` has just told."""
        request = self._lines[alone].popleft()
        self.count -= 1
        self.bytes -= len(request.body)
        return request

    def forget(self, request: Pending) -> None:
        """Nobody waits for this one any more; it is `done`."""
        self.count -= 1
        self.bytes -= len(request.body)

    def tidy(self) -> None:
        """Take out those that are done, where they are many."""
        for alone, line in self._lines.items():
            if len(line) > max(_MANY_DEAD, 2 * self.count):
                self._lines[alone] = deque(request for request in line if not request.done)

    def take_all(self) -> list[Pending]:
        """Take out all of them."""
        taken = list(self)
        self.__init__()  # type: ignore[misc]
        return taken

    def __iter__(self) -> Iterator[Pending]:
        """Those that somebody waits for."""
        return (request for line in (self._lines[True], self._lines[False]) for request in line if not request.done)

    def alarming(self, now: float) -> bool:
        """Whether the oldest has just come to wait long, or longer by far than when this was true last."""
        waited = now - self.oldest(now) if self.count else 0.0
        if waited < FIRST_ALARM_SECONDS:
            self._alarm_at = FIRST_ALARM_SECONDS
        if waited < self._alarm_at:
            return False
        self._alarm_at = waited * ALARM_AGAIN_TIMES
        return True

    def oldest(self, now: float) -> float:
        """When the one that has waited longest came in; `now` where none waits."""
        firsts = (self.first(alone=alone) for alone in self._lines)
        return min((request.queued_at for request in firsts if request is not None), default=now)
