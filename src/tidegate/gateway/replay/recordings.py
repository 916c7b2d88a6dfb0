"""The newest real requests of each endpoint, with their answers: what the gate replays. In memory only.

A recording holds what is there anyway, the bytes that came and went: nothing is copied on the scoring path.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.route_table import RevisionRoute
from tidegate.settings import GateSettings
from tidegate_worker.ipc import wire

# What the objects of a recording hold beside their bytes.
OVERHEAD = 400


class Recording(NamedTuple):
    """A request that was answered with a prediction. `seconds` is its whole time in the gateway."""

    revision: RevisionId
    meta: bytes
    body: bytes
    answer_meta: bytes
    answer: bytes
    seconds: float


class Recorder:
    """One endpoint's recordings, and the bytes that they hold, all told."""

    __slots__ = ("_kept", "_largest", "_most", "_shared", "bytes")

    def __init__(self, shared: "Recordings", most: int, largest: int) -> None:
        self._shared, self._most, self._largest = shared, most, largest
        # Size, and what a recording is made of: this happens to each request, and a tuple costs next to nothing.
        self._kept: deque[tuple[int, RevisionRoute, bytes, bytes, wire.Answer, float]] = deque(maxlen=most)
        self.bytes = 0

    def record(self, route: RevisionRoute, meta: bytes, body: bytes, answer: wire.Answer, seconds: float) -> None:
        """Keep it, unless it is too large, or its model is not to be asked twice."""
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
        """Forget the older half, and at least one."""
        for _ in range((len(self._kept) + 1) // 2):
            size = self._kept.popleft()[0]
            self.bytes -= size
            self._shared.bytes -= size

    def close(self) -> None:
        """Forget them, and keep none from now on: a request that is under way may still hold it."""
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
    """All endpoints' recordings. `bytes` is what they hold together, `limit` what they may."""

    def __init__(self, settings: GateSettings) -> None:
        self.bytes, self.limit = 0, settings.max_memory_mb * 1024 * 1024
        self._settings = settings
        self._recorders: dict[str, Recorder] = {}

    def of(self, endpoint: str, wanted: bool | None) -> Recorder | None:
        """Where to record an endpoint's requests; None where they are not to be kept."""
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
        """Forget all but those of these endpoints that are wanted."""
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
        """Have the largest forget, so that every endpoint has its share."""
        while self.bytes > self.limit:
            max(self._recorders.values(), key=lambda recorder: recorder.bytes).shrink()
