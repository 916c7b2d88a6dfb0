"""When what has failed may be tried again."""

from dataclasses import dataclass, field

from tidegate.ports import Clock

# Of what fails again and again, seconds. The longest keeps the promise to be back soon after a crash.
_FIRST, _LONGEST = 0.25, 4.0


@dataclass(slots=True)
class Backoff:
    """By subject: an endpoint's or a revision's id."""

    clock: Clock
    failures: dict[str, tuple[int, float]] = field(default_factory=dict)  # in a row, and until when it holds

    def holds(self, subject: str) -> bool:
        """Whether it is too early."""
        return subject in self.failures and self.clock.monotonic() < self.failures[subject][1]

    def failed(self, subject: str) -> None:
        """It has failed once more."""
        count = self.failures.get(subject, (0, 0.0))[0] + 1
        pause = min(_LONGEST, _FIRST * 2 ** min(count - 1, 10))
        self.failures[subject] = (count, self.clock.monotonic() + pause)

    def succeeded(self, subject: str) -> None:
        """It is not failing any more."""
        self.failures.pop(subject, None)
