"""Whether to watch or to sleep while the next thing is awaited.

A core that slept runs what it is woken for at half its speed: a prediction of 0.1 ms takes 0.2 ms. So who is usually
answered within `WATCH_SECONDS` watches its sockets for so long before it sleeps. Where things come more slowly nobody
watches, and it costs nothing; where they come so fast, the core would be busy anyway.
"""

# The longest watch, and the longest wait that counts in full.
WATCH_SECONDS, _LONGEST = 0.0004, 0.005


class Alertness:
    """A smoothed measure of how long one kind of wait takes."""

    def __init__(self) -> None:
        self._seconds = _LONGEST

    def learn(self, seconds: float) -> None:
        """Note how long a wait has taken."""
        self._seconds += (min(seconds, _LONGEST) - self._seconds) / 8

    @property
    def watches(self) -> bool:
        """Whether watching is likely to end before `WATCH_SECONDS` do."""
        return self._seconds < WATCH_SECONDS
