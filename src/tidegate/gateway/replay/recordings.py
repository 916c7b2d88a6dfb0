"""The newest requests of each endpoint with their answers, in memory only. The gate replays them.

A recording refers to the bytes of the request and of the answer. The scoring path copies nothing for it.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.route_table import RevisionRoute
from tidegate.settings import GateSettings
from tidegate_worker.ipc import wire

# The bytes of a recording's objects, besides the bytes of request and answer.
OVERHEAD = 400


class Recording(NamedTuple):
    """A request that was answered with a prediction. `seconds` is its time in the gateway."""

    revision: RevisionId
    meta: bytes
    body: bytes
    answer_meta: bytes
    answer: bytes
    seconds: float


class Recorder:
    """One endpoint's recordings. `bytes` is their size together."""

    __slots__ = ("_kept", "_largest", "_most", "_shared", "bytes")

    def __init__(self, shared: "Recordings", most: int, largest: int) -> None:
        self._shared, self._most, self._largest = shared, most, largest
        # The size, then the parts of a recording. Each request is recorded, and a tuple costs little.
        self._kept: deque[tuple[int, RevisionRoute, bytes, bytes, wire.Answer, float]] = deque(maxlen=most)
        self.bytes = 0

    def record(self, route: RevisionRoute, meta: bytes, body: bytes, answer: wire.Answer, seconds: float) -> None:
        """Keep a request, unless it is too large or its model must not predict twice."""
        size = len(body) + len(answer[4])
        if size > self._largest or not route.may_be_tried:
            return
        grown = size = size + len(meta) + len(answer[3]) + OVERHEAD
        kept, shared = self._kept, self._shared
        if len(kept) == self._most:
            grown -= kept[0][0]
        kept.append((size, route, meta, body, answer, seconds))
        self.bytes += grown
        shared.bytes += grown
        if shared.bytes > shared.limit:
            shared.make_room()

    def shrink(self) -> None:
        """Remove the older half of the recordings, and at least one."""
        for _ in range((len(self._kept) + 1) // 2):
            size = self._kept.popleft()[0]
            self.bytes -= size
            self._shared.bytes -= size

    def close(self) -> None:
        """Remove all recordings and keep no more: requests under way may still refer to this recorder."""
        self._largest = -1
        while self._kept:
            self.shrink()

    def __iter__(self) -> Iterator[Recording]:
        """The recordings, oldest first."""
        return (
            Recording(route.revision, meta, body, answer.meta, answer.body, seconds)
            for _, route, meta, body, answer, seconds in self._kept
        )


class Recordings:
    """All endpoints' recordings. `bytes` is their size together, `limit` the most that it may be."""

    def __init__(self, settings: GateSettings) -> None:
        self.bytes, self.limit = 0, settings.max_memory_mb * 1024 * 1024
        self._settings = settings
        self._recorders: dict[str, Recorder] = {}

    def of(self, endpoint: str, wanted: bool | None) -> Recorder | None:
        """The recorder of an endpoint's requests; None where none are kept."""
        if not self._records(wanted):
            self._forget(endpoint)
            return None
        settings, recorder = self._settings, self._recorders.get(endpoint)
        if recorder is None:
            recorder = self._recorders[endpoint] = Recorder(self, settings.requests, settings.max_request_kb * 1024)
        return recorder

    def newest(self, endpoint: str) -> list[Recording]:
        """An endpoint's recordings, newest first."""
        recorder = self._recorders.get(endpoint)
        return list(recorder or ())[::-1]

    def keep(self, endpoints: Mapping[str, bool | None]) -> None:
        """Remove the recordings of all other endpoints, and of those that are not to be recorded any more."""
        for endpoint in list(self._recorders):
            if endpoint not in endpoints or not self._records(endpoints[endpoint]):
                self._forget(endpoint)

    def _records(self, wanted: bool | None) -> bool:
        return self._settings.record if wanted is None else wanted

    def _forget(self, endpoint: str) -> None:
        recorder = self._recorders.pop(endpoint, None)
        if recorder is not None:
            recorder.close()

    def make_room(self) -> None:
        """Remove recordings of the endpoint that has the most bytes, until all fit."""
        while self.bytes > self.limit:
            max(self._recorders.values(), key=lambda recorder: recorder.bytes).shrink()
