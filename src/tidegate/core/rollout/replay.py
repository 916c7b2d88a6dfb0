"""A replay: recent real requests of an endpoint, sent once more to the revision that is to serve next.

Control orders a replay in the route table. Each gateway replays the requests that it has recorded itself, and reports
its findings.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.rollout import answer_schema
from tidegate.core.rollout.answer_schema import Schema


@dataclass(frozen=True, slots=True)
class Replay:
    """An order to the gateways.

    - `id`: names this attempt. A gateway makes each attempt once.
    - `candidate`: the revision that the requests are sent to.
    - `baseline`: the active revision whose place it takes; None where it takes no place.
    - `strangers`: active revisions of other models. Requests that they answered are not replayed.
    - `siblings`: further active revisions of the baseline's model. Of the requests that they answered, those are
      replayed which the baseline answers too.
    """

    id: str
    endpoint: str
    candidate: RevisionId
    baseline: RevisionId | None
    seconds: float  # the time limit, where no request hangs
    strangers: tuple[RevisionId, ...] = ()
    siblings: tuple[RevisionId, ...] = ()


@dataclass(frozen=True, slots=True)
class Times:
    """The median time of `count` predictions inside the replica, seconds. Each predicted `batch` requests."""

    median: float = 0.0
    count: int = 0
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Memory:
    """The resident memory of all replicas of a revision, bytes; 0 where it is unknown.

    `candidate` has up to three values: one after all requests were sent at once, and one after each half of the rounds
    that follow.
    """

    baseline: int = 0
    candidate: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """The findings of one or more gateways in a replay.

    `requests` counts the replayed requests, and `compared` those with an answer of the baseline. `errors`, `crashes`
    and `hangs` count requests that were answered when they were real; `error`, `crash` and `hang` are the sentences of
    the first ones. `unavailable` is the sentence where the candidate answered no request at all.
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
        """The findings of two gateways together.

        Times and memory are those of the gateway that replayed more requests.
        """
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
    """The findings by replay. With `all_of_them`, replays that a gateway has not finished are left out."""
    all_reports, found = list(reports), {}
    for replay in replays:
        own = [report[replay.id] for report in all_reports if replay.id in report]
        if len(own) == len(all_reports) or not all_of_them:
            found[replay.id] = _sum(own) if own else Findings(replay.id)
    return found


def _sum(findings: list[Findings]) -> Findings:
    whole = findings[0]
    for other in findings[1:]:
        whole = whole.plus(other)
    return whole
