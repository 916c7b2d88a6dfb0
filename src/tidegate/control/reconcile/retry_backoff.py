"""When an action that has failed may be tried again."""

from dataclasses import dataclass, field

from tidegate.ports import Clock

# The pause after the first failure and the longest one, seconds. The longest keeps the promise that an endpoint serves
# again soon after a crash.
_FIRST, _LONGEST = 0.25, 4.0


@dataclass(slots=True)
class RetryBackoff:
    """Pauses that double with each failure in a row, by subject: the id of an endpoint or a revision."""

    clock: Clock
    failures: dict[str, tuple[int, float]] = field(default_factory=dict)  # subject → failures in a row, end of pause

    def holds(self, subject: str) -> bool:
        """Whether the subject's pause has not ended."""
        return subject in self.failures and self.clock.monotonic() < self.failures[subject][1]

    def failed(self, subject: str) -> None:
        """Count a failure, and begin the next pause."""
        count = self.failures.get(subject, (0, 0.0))[0] + 1
        pause = min(_LONGEST, _FIRST * 2 ** min(count - 1, 10))
        self.failures[subject] = (count, self.clock.monotonic() + pause)

    def succeeded(self, subject: str) -> None:
        """Forget the failures of the subject."""
        self.failures.pop(subject, None)
