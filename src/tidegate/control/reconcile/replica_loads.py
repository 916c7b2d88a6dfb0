"""Each revision's load over all gateways: their reports added up, in counts that never fall."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tidegate.core.endpoint.revision import Replica, ReplicaId, ReplicaState, RevisionId
from tidegate.core.planes.load_report import LoadReport, RevisionLoad
from tidegate.core.scaling.load_window import LoadPoint

# After this many seconds without a report, a gateway's load is unknown.
SILENCE_SECONDS = 5.0
# A request that has waited this many seconds makes the next pass due at once.
URGENT_SECONDS = 0.1

_NOTHING = RevisionLoad()


@dataclass(slots=True)
class _Sums:
    """The counts of a revision since the first report that this process of control got."""

    requests: int = 0
    request_seconds: float = 0.0
    busy_seconds: float = 0.0
    cpu_seconds: float = 0.0
    cpu_of: dict[ReplicaId, float] = field(default_factory=dict)  # the last account of each replica

    def add(self, before: RevisionLoad, load: RevisionLoad) -> None:
        self.requests += max(0, load.requests - before.requests)
        self.request_seconds += max(0.0, load.request_seconds - before.request_seconds)
        self.busy_seconds += max(0.0, load.busy_seconds - before.busy_seconds)


class ReplicaLoads:
    """Takes reports and tells loads. Times are monotonic seconds.

    The first report of a gateway is where its counts begin, since its process may have counted for days. A gateway that
    replaces a known one counts from zero. `known_since` is the time since which all gateways have reported without a
    gap; it is None while a gateway is missing or silent.
    """

    def __init__(self) -> None:
        self.known_since: float | None = None
        self._reports: dict[int, LoadReport] = {}  # the last of each gateway
        self._connected: tuple[LoadReport, ...] = ()
        self._heard: dict[int, float] = {}
        self._sums: dict[RevisionId, _Sums] = {}
        self.stirred: set[RevisionId] = set()  # the revisions with a request since the owner cleared it

    def take(self, reports: Iterable[LoadReport], now: float) -> bool:
        """Take the newest reports of all connected gateways. Returns whether a request has waited too long."""
        self._connected = tuple(reports)
        urgent = False
        for report in self._connected:
            earlier = self._reports.get(report.gateway)
            if earlier is not report:
                self._reports[report.gateway], self._heard[report.gateway] = report, now
                self._add(earlier, report)
                urgent |= any(_urgent(load) for load in report.revisions.values())
        return urgent

    def look(self, expected: int, now: float) -> None:
        """Check whether `expected` gateways have reported lately."""
        lately = {r.gateway for r in self._connected if now - self._heard[r.gateway] <= SILENCE_SECONDS}
        if len(lately) < expected:
            self.known_since = None
        elif self.known_since is None:
            self.known_since = now

    def measured(self, revision: RevisionId, replicas: Iterable[Replica]) -> None:
        """Add the CPU seconds that the replicas have used since, without those of their starts."""
        sums = self._sums.get(revision)
        used = {r.id: r.cpu_seconds for r in replicas if r.state is not ReplicaState.STARTING and r.cpu_seconds > 0}
        if used or (sums is not None and sums.cpu_of):
            sums = self._sums.setdefault(revision, _Sums())
            first = 0.0 if sums.cpu_seconds else sum(used.values())
            sums.cpu_seconds += first + sum(max(0.0, cpu - sums.cpu_of.get(r, cpu)) for r, cpu in used.items())
            sums.cpu_of = used

    def point(self, revision: RevisionId, now: float) -> LoadPoint:
        """A revision's load now."""
        sums = self._sums.get(revision) or _Sums()
        here = [report.revisions.get(revision, _NOTHING) for report in self._connected]
        return LoadPoint(
            at=now,
            requests=sums.requests,
            request_seconds=sums.request_seconds,
            busy_seconds=sums.busy_seconds,
            cpu_seconds=sums.cpu_seconds,
            in_flight=sum(load.in_flight for load in here),
            queued=sum(load.queued for load in here),
            oldest_wait_seconds=max((load.oldest_wait_seconds for load in here), default=0.0),
            stuck=max((load.stuck for load in here), default=0),  # those of several gateways may be the same ones
            reported_at=min((self._heard[r.gateway] for r in self._connected), default=math.inf),
        )

    def together(self, revision: RevisionId) -> bool:
        """Whether the revision's replicas predict many requests at once."""
        return any(report.revisions.get(revision, _NOTHING).group > 1 for report in self._connected)

    def forget(self, kept: Collection[RevisionId]) -> None:
        """Drop what was counted for all other revisions."""
        self._sums = {revision: sums for revision, sums in self._sums.items() if revision in kept}

    def _add(self, earlier: LoadReport | None, report: LoadReport) -> None:
        if earlier is None:
            return
        before: Mapping[RevisionId, RevisionLoad] = earlier.revisions if earlier.pid == report.pid else {}
        for revision, load in report.revisions.items():
            known = before.get(revision, _NOTHING)
            if load != known:
                self._sums.setdefault(revision, _Sums()).add(known, load)
                self.stirred.add(revision)


def _urgent(load: RevisionLoad) -> bool:
    return load.oldest_wait_seconds >= URGENT_SECONDS or (load.stuck > 0 and load.queued > 0)
