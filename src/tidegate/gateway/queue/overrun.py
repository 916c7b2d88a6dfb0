"""Replicas that take far longer than usual for what they have, and what is asked of others meanwhile.

A replica that is held up is not ended for it: at its callers' deadlines it is. What waits behind it, and what shares a
batch with whatever holds it up, need not wait for that.
"""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

from tidegate.gateway.queue.pending import Pending

# A replica is held up by what takes so long, seconds, and so many times what is usual.
HELD_UP_SECONDS, HELD_UP_TIMES = 0.1, 10
# A batch overruns that takes so long, seconds, and so many times what is usual.
OVERRUN_SECONDS, OVERRUN_TIMES = 1.0, 20
# What is taken for usual while nothing is known: the first prediction of a process can be slow.
UNKNOWN_SECONDS = 0.1
# So many times what is usual is the most that a measurement counts for: one that took for ever is not the new usual.
_MOST_TIMES = 10


class Usual:
    """What a group of a revision's requests usually takes at a replica, in seconds."""

    def __init__(self) -> None:
        self.seconds = UNKNOWN_SECONDS
        self._known = False

    def learn(self, seconds: float) -> None:
        """A group has taken so long."""
        if self._known:
            self.seconds += (min(seconds, _MOST_TIMES * self.seconds) - self.seconds) / 8
        else:
            self.seconds, self._known = seconds, True

    def is_held_up(self, seconds: float) -> bool:
        """Whether a replica that has worked at one thing for so long gets nothing further."""
        return seconds > max(HELD_UP_SECONDS, HELD_UP_TIMES * self.seconds)

    def overruns(self, seconds: float) -> bool:
        """Whether a batch that has taken so long is asked anew, one request at a time."""
        return seconds > max(OVERRUN_SECONDS, OVERRUN_TIMES * self.seconds)


class Moved(NamedTuple):
    """What goes elsewhere. Of the `singly`, any may be what holds the replica up."""

    behind: Sequence[Pending] = ()
    singly: Sequence[Pending] = ()


def moved(in_flight: Iterable[Pending], *, overruns: bool, others_batch_along: bool) -> Moved:
    """What is taken back from a replica that is held up, of what it has, oldest first.

    What came after the first group has hardly begun, and goes at once; at an overrun, the first group too. One request
    by itself stays: to ask it anew would hold up another replica. But what came soon after it, went before, or other
    gateways have sent, may be in its batch (`others_batch_along`): then it may be the neighbour of what is to blame.
    """
    held = list(in_flight)
    if not held:
        return Moved()
    first = list(takewhile(lambda request: request.group == held[0].group, held))
    behind = held[len(first) :]
    has_neighbours = len(held) > 1 or (others_batch_along and not held[0].alone)
    singly = first if overruns and has_neighbours else []
    again = [request for request in behind if request.moved]
    return Moved([request for request in behind if not request.moved], [*singly, *again])
