"""What became of requests: when each was due, how long its answer took from then, and its status."""

import collections
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.table import Table

NO_ANSWER = 0


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else math.nan


@dataclass(frozen=True)
class Sample:
    """One request. `due` is in seconds from the start of the run, `kind` the place of its body among the bodies."""

    due: float
    seconds: float  # from when it was due to its whole answer
    status: int  # NO_ANSWER when the connection broke, or nothing came in time
    kind: int = 0

    @property
    def ok(self) -> bool:
        """Whether it was answered with 200."""
        return self.status == 200


@dataclass
class Outcome:
    """All requests of a run. `errors` counts what answers other than 200 said; `late` is how late each was sent."""

    due: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    errors: collections.Counter[str] = field(default_factory=collections.Counter)

    def add(self, sample: Sample, error: str = "") -> None:
        """Enter one request."""
        self.due.append(sample.due)
        self.seconds.append(sample.seconds)
        self.statuses.append(sample.status)
        self.kinds.append(sample.kind)
        if not sample.ok:
            self.errors[f"{sample.status or 'no answer'}: {error}"] += 1

    def merge(self, other: "Outcome") -> None:
        """Enter all of another one."""
        for name in ("due", "seconds", "statuses", "kinds", "late"):
            getattr(self, name).extend(getattr(other, name))
        self.errors += other.errors

    def __len__(self) -> int:
        return len(self.due)

    def __iter__(self) -> Iterator[Sample]:
        columns = zip(self.due, self.seconds, self.statuses, self.kinds, strict=True)
        return (Sample(*row) for row in columns)

    def latencies(self, wanted: Callable[[Sample], bool] = lambda sample: sample.ok) -> list[float]:
        """Seconds of the requests that are wanted; of those answered with 200 by default."""
        return [sample.seconds for sample in self if wanted(sample)]

    @property
    def by_status(self) -> dict[int, int]:
        """How many requests had each status."""
        return dict(sorted(collections.Counter(self.statuses).items()))

    @property
    def failed(self) -> int:
        """Everything that is not an answer 200."""
        return sum(status != 200 for status in self.statuses)

    def series(self) -> list["Second"]:
        """The run second by second, by when requests were due; every second from the first to the last."""
        rows: dict[int, list[Sample]] = collections.defaultdict(list)
        for sample in self:
            rows[int(sample.due)].append(sample)
        return [Second.of(number, rows.get(number, [])) for number in range(max(rows, default=-1) + 1)]


@dataclass(frozen=True)
class Second:
    """The requests that were due in one second. Latencies in seconds, of all answers; NaN where there is none."""

    number: int
    sent: int
    failed: int
    p50: float
    p99: float

    @classmethod
    def of(cls, number: int, samples: Sequence[Sample]) -> "Second":
        """What these samples make."""
        seconds = [sample.seconds for sample in samples]
        failed = sum(not sample.ok for sample in samples)
        return cls(number, len(samples), failed, percentile(seconds, 50), percentile(seconds, 99))


def table(outcome: Outcome, title: str) -> Table:
    """The run second by second, and its whole."""
    shown = Table(title=title)
    for heading in ("second", "sent", "failed", "p50 ms", "p99 ms"):
        shown.add_column(heading, justify="right")
    for row in outcome.series():
        shown.add_row(str(row.number), str(row.sent), str(row.failed), f"{row.p50 * 1e3:.1f}", f"{row.p99 * 1e3:.1f}")
    whole = outcome.latencies()
    cells = (str(len(outcome)), str(outcome.failed), *(f"{percentile(whole, p) * 1e3:.1f}" for p in (50, 99)))
    shown.add_section()
    shown.add_row("all", *cells)
    return shown
