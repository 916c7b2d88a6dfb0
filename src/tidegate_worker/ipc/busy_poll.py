"""Whether a process polls or sleeps while it waits for the next thing.

A core that has slept runs what wakes it at half its speed: a prediction of 0.1 ms takes 0.2 ms. A process that is
usually answered within `BUSY_POLL_SECONDS` therefore polls its sockets for that long before it sleeps. Where things
come more slowly, nobody polls, and it costs nothing. Where they come faster, the core would be busy anyway.
"""

# The longest poll, and the longest wait that counts in full.
BUSY_POLL_SECONDS, _LONGEST = 0.0004, 0.005


class BusyPoll:
    """A smoothed measure of how long one kind of wait takes."""

    def __init__(self) -> None:
        self._seconds = _LONGEST

    def learn(self, seconds: float) -> None:
        """Note how long a wait has taken."""
        self._seconds += (min(seconds, _LONGEST) - self._seconds) / 8

    @property
    def watches(self) -> bool:
        """Whether watching is likely to end before `BUSY_POLL_SECONDS` do."""
        return self._seconds < BUSY_POLL_SECONDS
