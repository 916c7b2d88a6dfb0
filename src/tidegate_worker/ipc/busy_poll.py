"""The decision whether a process polls its sockets or sleeps while it waits.

A core that has slept starts at half its speed: a prediction of 0.1 ms takes 0.2 ms. So a process whose waits usually
end within `BUSY_POLL_SECONDS` polls for that long before it sleeps. With longer waits it does not poll, which costs
nothing. With shorter ones the core would be busy anyway.
"""

# The longest poll. A wait that is longer than the second figure counts as that long.
BUSY_POLL_SECONDS, _LONGEST = 0.0004, 0.005


class BusyPoll:
    """The smoothed length of one kind of wait."""

    def __init__(self) -> None:
        self._seconds = _LONGEST

    def learn(self, seconds: float) -> None:
        """Note the length of a wait."""
        self._seconds += (min(seconds, _LONGEST) - self._seconds) / 8

    @property
    def watches(self) -> bool:
        """Whether the next wait is likely to end within `BUSY_POLL_SECONDS`."""
        return self._seconds < BUSY_POLL_SECONDS
