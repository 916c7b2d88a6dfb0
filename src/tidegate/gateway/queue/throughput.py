"""How fast a queue is worked off, measured: the base of a projected wait."""

import math

# Times fade with this constant, seconds: a pause of the model raises the mean a little, not all at once.
FADE_SECONDS = 10.0
# Before so many groups of answers came while others waited, nothing is known.
MIN_SAMPLES = 5


class Throughput:
    """Seconds per request over all replicas together. Only time in which requests waited counts: then all were busy."""

    def __init__(self) -> None:
        self._seconds = self._requests = 0.0
        self._samples = 0
        self._since: float | None = None

    @property
    def measuring(self) -> bool:
        """Whether requests waited after the last answers."""
        return self._since is not None

    def reset(self) -> None:
        """Forget: replicas have come, gone, or take more or less at once."""
        self.__init__()  # type: ignore[misc]

    def ended(self, requests: int, now: float, *, others_wait: bool) -> None:
        """So many requests came back at `now`."""
        if self._since is not None:
            seconds = now - self._since
            fade = math.exp(-seconds / FADE_SECONDS)
            self._seconds = self._seconds * fade + seconds
            self._requests = self._requests * fade + requests
            self._samples += 1
        self._since = now if others_wait else None

    def seconds(self, requests: int) -> float:
        """How long so many requests take; 0 while nothing is known."""
        return requests * self._seconds / self._requests if self._samples >= MIN_SAMPLES else 0.0
