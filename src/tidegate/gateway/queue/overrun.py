"""Slow replicas: which of their requests are sent to other replicas.

A slow replica is ended at its callers' deadlines and not before. The requests behind the slow one, and those in the
same batch, are sent elsewhere meanwhile.
"""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

from tidegate.gateway.queue.pending import Pending

# A replica is held up when a group takes this many seconds and this many times the usual time.
HELD_UP_SECONDS, HELD_UP_TIMES = 0.1, 10
# A batch overruns when it takes this many seconds and this many times the usual time.
OVERRUN_SECONDS, OVERRUN_TIMES = 1.0, 20
# The usual time before the first measurement, seconds. The first prediction of a process can be slow.
UNKNOWN_SECONDS = 0.1
# A measurement counts for at most this many times the usual time, so that one slow group does not change it.
_MOST_TIMES = 10


class UsualTime:
    """The usual time of a group of a revision's requests at a replica, in seconds: a smoothed mean."""

    def __init__(self) -> None:
        self.seconds = UNKNOWN_SECONDS
        self._known = False

    def learn(self, seconds: float) -> None:
        """Count a group that has taken this many seconds."""
        if self._known:
            self.seconds += (min(seconds, _MOST_TIMES * self.seconds) - self.seconds) / 8
        else:
            self.seconds, self._known = seconds, True

    def is_held_up(self, seconds: float) -> bool:
        """Whether a replica that has had a group for this many seconds gets no more requests."""
        return seconds > max(HELD_UP_SECONDS, HELD_UP_TIMES * self.seconds)

    def overruns(self, seconds: float) -> bool:
        """Whether the requests of a batch that has taken this many seconds are sent elsewhere, one by one."""
        return seconds > max(OVERRUN_SECONDS, OVERRUN_TIMES * self.seconds)


class Moved(NamedTuple):
    """The requests that go elsewhere. Those of `singly` are predicted alone: any of them may be the slow one."""

    behind: Sequence[Pending] = ()
    singly: Sequence[Pending] = ()


def moved(in_flight: Iterable[Pending], *, overruns: bool, others_batch_along: bool) -> Moved:
    """The requests that are taken back from a replica that is held up. `in_flight` is what it has, oldest first.

    A request is *alone in its batch* if the replica has no other request of this gateway, and no other may share its
    batch: one sent earlier or later, or by another gateway (`others_batch_along`). Then it is the slow one, and stays,
    as it would hold up another replica too. Otherwise any request of the batch may be the slow one, and the first group
    goes once it overruns. Requests after the first group have hardly begun, and go at once.
    """
    requests = list(in_flight)
    if not requests:
        return Moved()
    first = list(takewhile(lambda request: request.group == requests[0].group, requests))
    behind = requests[len(first) :]
    has_neighbours = len(requests) > 1 or (others_batch_along and not requests[0].alone)
    singly = first if overruns and has_neighbours else []
    again = [request for request in behind if request.moved]
    return Moved([request for request in behind if not request.moved], [*singly, *again])
