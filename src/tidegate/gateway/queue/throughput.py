"""The measured pace of a queue. The projected wait of a request follows from it."""

import math

# The time constant, in seconds, with which old measurements lose weight. A pause of the model raises the mean slowly.
FADE_SECONDS = 10.0
# The pace is unknown until this many groups of answers came while other requests waited.
MIN_SAMPLES = 5


class Throughput:
    """Seconds per request of all replicas together. Only time in which requests waited counts: all were busy then."""

    def __init__(self) -> None:
        self._seconds = self._requests = 0.0
        self._samples = 0
        self._since: float | None = None

    @property
    def measuring(self) -> bool:
        """Whether requests waited after the last answers."""
        return self._since is not None

    def reset(self) -> None:
        """Begin anew: the replicas, or the requests that they take at once, are others now."""
        self.__init__()  # type: ignore[misc]

    def ended(self, requests: int, now: float, *, others_wait: bool) -> None:
        """Count the requests that were answered at `now`, in seconds of time.monotonic."""
        if self._since is not None:
            seconds = now - self._since
            fade = math.exp(-seconds / FADE_SECONDS)
            self._seconds = self._seconds * fade + seconds
            self._requests = self._requests * fade + requests
            self._samples += 1
        self._since = now if others_wait else None

    def seconds(self, requests: int) -> float:
        """The seconds that this many requests take; 0 while the pace is unknown."""
        return requests * self._seconds / self._requests if self._samples >= MIN_SAMPLES else 0.0
