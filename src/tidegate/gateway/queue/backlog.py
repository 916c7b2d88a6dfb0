"""The waiting requests of a queue, in two lines by arrival. One line is for requests that must be predicted alone."""

from collections import deque
from collections.abc import Iterator

from tidegate.gateway.queue.pending import Pending

# A request whose caller has gone stays in its line until it is the first. The line is swept when it has more than this
# number of requests and more than half of them are such.
_SWEEP_LENGTH = 64
# Control hears of a queue when its oldest request has waited for FIRST_ALARM_SECONDS, and again each time that this
# request has waited ALARM_AGAIN_TIMES as long as at the last alarm.
FIRST_ALARM_SECONDS, ALARM_AGAIN_TIMES = 0.1, 2.5


class Backlog:
    """The waiting requests. `count` and `bytes` leave out those whose callers have gone."""

    def __init__(self) -> None:
        self.count = self.bytes = 0
        self._lines: dict[bool, deque[Pending]] = {False: deque(), True: deque()}
        self._alarm_at = FIRST_ALARM_SECONDS

    def put(self, request: Pending, *, first: bool = False) -> None:
        """Add a request to the end of its line, or with `first` to its beginning."""
        self.count += 1
        self.bytes += len(request.body)
        line = self._lines[request.alone]
        (line.appendleft if first else line.append)(request)

    def first(self, *, alone: bool) -> Pending | None:
        """The first request of a line that a caller still waits for; None for an empty line."""
        line = self._lines[alone]
        while line and line[0].done:
            line.popleft()
        return line[0] if line else None

    def pop(self, *, alone: bool) -> Pending:
        """Take out the request that `first` has just returned."""
        request = self._lines[alone].popleft()
        self.count -= 1
        self.bytes -= len(request.body)
        return request

    def forget(self, request: Pending) -> None:
        """Count a request no more: its caller has gone, and it is `done`."""
        self.count -= 1
        self.bytes -= len(request.body)

    def tidy(self) -> None:
        """Remove the requests whose callers have gone, where they are many."""
        for alone, line in self._lines.items():
            if len(line) > max(_SWEEP_LENGTH, 2 * self.count):
                self._lines[alone] = deque(request for request in line if not request.done)

    def take_all(self) -> list[Pending]:
        """Remove all requests, and return those that a caller waits for."""
        taken = list(self)
        self.__init__()  # type: ignore[misc]
        return taken

    def __iter__(self) -> Iterator[Pending]:
        """The requests that a caller waits for, those to be predicted alone first."""
        return (request for line in (self._lines[True], self._lines[False]) for request in line if not request.done)

    def alarming(self, now: float) -> bool:
        """Whether the oldest request has waited for the time at which control should hear of it."""
        waited = now - self.oldest(now) if self.count else 0.0
        if waited < FIRST_ALARM_SECONDS:
            self._alarm_at = FIRST_ALARM_SECONDS
        if waited < self._alarm_at:
            return False
        self._alarm_at = waited * ALARM_AGAIN_TIMES
        return True

    def oldest(self, now: float) -> float:
        """When the oldest request came in, a time of time.monotonic; `now` where none waits."""
        firsts = (self.first(alone=alone) for alone in self._lines)
        return min((request.queued_at for request in firsts if request is not None), default=now)
