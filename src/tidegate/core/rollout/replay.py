"""A replay: real requests that an endpoint was asked lately, asked once more of the revision that is to serve next.

Control orders it by the route table; each gateway asks what it has recorded itself, and reports what it found.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.rollout import answer_schema
from tidegate.core.rollout.answer_schema import Schema


@dataclass(frozen=True, slots=True)
class Replay:
    """What gateways are to try. `candidate` is to take the place of `baseline`; None where it takes nobody's.

    `id` names this attempt; a gateway that has tried it does not try it again while it is ordered. Of
    what is answered by others that serve beside the baseline, nothing of `strangers` is the candidate's to answer, and
    of `siblings`, of the baseline's model, what the baseline answers too.
    """

    id: str
    endpoint: str
    candidate: RevisionId
    baseline: RevisionId | None
    seconds: float  # that it may take, as long as nothing hangs
    strangers: tuple[RevisionId, ...] = ()
    siblings: tuple[RevisionId, ...] = ()


@dataclass(frozen=True, slots=True)
class Times:
    """How long predictions took in the replica: the median of so many, seconds. Each had `batch` requests."""

    median: float = 0.0
    count: int = 0
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes of a revision's replicas together; 0 where it is not known.

    `candidate` has up to three marks: after all were asked at once, and after each half of the turns that followed.
    """

    baseline: int = 0
    candidate: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """What gateways found in a replay. `requests` were replayed; those of `compared` have an answer of the baseline.

    `errors`, `crashes` and `hangs` are requests that were answered when they were real; each has its sentence with the
    first of them. `unavailable` is a sentence where the candidate could not be asked at all.
    """

    id: str
    requests: int = 0
    compared: int = 0
    exact: int = 0
    close: int = 0
    changed: int = 0
    largest_difference: float = 0.0  # relative
    new_nulls: int = 0
    rows: tuple[int, int] | None = None  # where the number of answers changed: before and after
    errors: int = 0
    crashes: int = 0
    hangs: int = 0
    error: str = ""
    crash: str = ""
    hang: str = ""
    unavailable: str = ""
    before: Schema = field(default_factory=dict)
    after: Schema = field(default_factory=dict)
    baseline: Times = field(default_factory=Times)
    candidate: Times = field(default_factory=Times)
    memory: Memory = field(default_factory=Memory)
    seconds: float = 0.0

    def plus(self, other: "Findings") -> "Findings":
        """What two gateways found together. Times and memory are those of the one that replayed more."""
        more = self if self.requests >= other.requests else other
        counts = ("requests", "compared", "exact", "close", "changed", "new_nulls", "errors", "crashes", "hangs")
        return replace(
            more,
            **{name: getattr(self, name) + getattr(other, name) for name in counts},
            **{name: getattr(self, name) or getattr(other, name) for name in ("error", "crash", "hang", "unavailable")},
            rows=self.rows or other.rows,
            largest_difference=max(self.largest_difference, other.largest_difference),
            before=answer_schema.joined(self.before, other.before),
            after=answer_schema.joined(self.after, other.after),
            seconds=max(self.seconds, other.seconds),
        )


def together(
    replays: Iterable[Replay], reports: Iterable[Mapping[str, Findings]], *, all_of_them: bool
) -> dict[str, Findings]:
    """What gateways found. A replay that one of them has not done yet is left out, where it must be `all_of_them`."""
    told, found = list(reports), {}
    for replay in replays:
        own = [report[replay.id] for report in told if replay.id in report]
        if len(own) == len(told) or not all_of_them:
            found[replay.id] = _sum(own) if own else Findings(replay.id)
    return found


def _sum(findings: list[Findings]) -> Findings:
    whole = findings[0]
    for other in findings[1:]:
        whole = whole.plus(other)
    return whole
