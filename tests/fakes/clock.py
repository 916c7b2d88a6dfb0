"""A clock that stands until a test moves it."""

from tidegate.ports import Clock


class FakeClock:
    """Both times move together, by `advance`."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0
        self._now += seconds
        self._monotonic += seconds


_: type[Clock] = FakeClock
