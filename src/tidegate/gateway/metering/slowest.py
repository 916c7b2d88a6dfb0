"""Notes the slowest requests of an endpoint in each minute of the last 15, and its newest errors.

A request costs one comparison, with the least of the slowest ones of the minute under way. Of an earlier minute, only
those are kept that may still be among the slowest of the time from then until now: of a steady traffic, some 70 in all.
An endpoint has 16 x 20 slow requests at most, of 0.2 kB each, and 20 errors, of 1 kB each.
"""

import struct
import time
from collections import deque
from heapq import heappush, heapreplace
from zlib import crc32

from tidegate.core.planes.noted_requests import KEPT_SECONDS, MOST_NOTED, NotedRequest, NotedRequests

_MINUTE = 60.0
_COLD = ("", "fork", "spawn")
# When it was answered, status, batch, cold start, number of steps, the steps; then the request's id.
_PACKED = struct.Struct("=dHHBB6f")

_Slow = tuple[float, str, bytes]
"""A slow request as it is kept, in a third of the memory: seconds, account, and the rest of it packed."""


def time_of_day() -> float:
    """Unix seconds, for what people read."""
    return time.time()


class Slowest:
    """The notes of one endpoint. `above` is what a request must have taken, seconds, to be noted."""

    __slots__ = ("_errors", "_minute", "_now", "_offset", "_past", "above")

    def __init__(self, endpoint: str) -> None:
        """The minutes of each endpoint begin at another second, so that not all of them end at once."""
        self._offset = crc32(endpoint.encode()) % _MINUTE
        self.above = -1.0
        self._minute = 0  # the minute under way
        self._now: list[_Slow] = []  # of the minute under way, a heap
        self._past: list[tuple[int, list[_Slow]]] = []  # of earlier minutes, the oldest first
        self._errors: deque[NotedRequest] = deque(maxlen=MOST_NOTED)

    def note(self, request: NotedRequest) -> None:
        """Note a request that took more than `above`."""
        self.tick(request.at)
        if len(self._now) < MOST_NOTED:
            heappush(self._now, _kept(request))
        elif request.seconds > self._now[0][0]:
            heapreplace(self._now, _kept(request))
        if len(self._now) == MOST_NOTED:
            self.above = self._now[0][0]

    def note_error(self, request: NotedRequest) -> None:
        """Note an error, and that it was slow if it was."""
        self._errors.append(request)
        if request.seconds > self.above:
            self.note(request)

    def tick(self, now: float) -> None:
        """Begin the next minute if it is time, unix seconds."""
        minute = int((now + self._offset) // _MINUTE)
        if minute != self._minute:
            self._past.append((self._minute, self._now))
            self._minute, self._now, self.above = minute, [], -1.0
            self._prune()

    def noted(self, now: float) -> NotedRequests:
        """The notes, of those slow requests that are not too old at `now`, unix seconds."""
        every = map(_told, [slow for _, kept in self._past for slow in kept] + self._now)
        recent = [request for request in every if now - request.at <= KEPT_SECONDS]
        slowest = sorted(recent, key=lambda request: request.seconds, reverse=True)[:MOST_NOTED]
        return NotedRequests(tuple(slowest), tuple(reversed(self._errors)))

    def _prune(self) -> None:
        """Forget those that are too old, and those of which enough slower ones have come since."""
        oldest = self._minute - int(KEPT_SECONDS / _MINUTE)
        kept: list[tuple[int, list[_Slow]]] = []
        slowest: list[float] = []
        for minute, requests in reversed(self._past):
            if not oldest <= minute < self._minute:  # the clock may have been put back
                continue
            least = slowest[-1] if len(slowest) == MOST_NOTED else -1.0
            requests = [slow for slow in requests if slow[0] > least]
            if requests:
                kept.append((minute, requests))
                slowest = sorted([*slowest, *(seconds for seconds, _, _ in requests)], reverse=True)[:MOST_NOTED]
        self._past = kept[::-1]


def _kept(request: NotedRequest) -> _Slow:
    cold, steps = _COLD.index(request.cold), (*request.steps, *[0.0] * 6)[:6]
    numbers = _PACKED.pack(request.at, request.status, request.batch, cold, len(request.steps), *steps)
    return request.seconds, request.entity, numbers + request.request_id.encode()


def _told(slow: _Slow) -> NotedRequest:
    seconds, entity, packed = slow
    at, status, batch, cold, steps, *parts = _PACKED.unpack_from(packed)
    name = packed[_PACKED.size :].decode()
    return NotedRequest(at, seconds, status, entity, name, tuple(parts[:steps]), batch, _COLD[cold])
