"""The load report that a gateway sends to control: cumulative counters, and the requests under way."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TypeVar

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.rollout.replay import Findings

# Upper bounds of the latency histogram's buckets, seconds. A last bucket has no bound.
LATENCY_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip

# The HTTP statuses that are counted: success, and those of all errors (`tidegate.http.STATUS`).
STATUSES = (200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 431, 500, 503, 504)

# The phases of a cold start: until the engine is asked, until the replica's process begins, until its model is loaded,
# and until the first answer; and the sum of all.
COLD_PHASES = ("queue", "template", "load", "first", "total")

K = TypeVar("K", str, int)
Key = TypeVar("Key", bound=str)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class RevisionLoad:
    """The load of a revision in one gateway."""

    in_flight: int = 0
    queued: int = 0
    oldest_wait_seconds: float = 0.0
    busy_seconds: float = 0.0  # cumulative: the time of replicas with requests under way
    reruns: int = 0  # cumulative: requests that ran again because a replica died
    requests: int = 0  # cumulative: all requests
    request_seconds: float = 0.0  # cumulative: the time of requests in flight and queued
    group: int = 1  # the most requests that a replica takes at once
    stuck: int = 0  # replicas whose requests take far longer than usual


@dataclass(frozen=True, slots=True)
class EndpointLedger:
    """The outcomes of an endpoint's requests, counted since the gateway's ledger began. A restart does not reset them.

    accepted = answered + rejected + timed_out + client_gone + lost + in flight, exactly. `answered` counts all answers
    of a model, its errors included. `rejected` counts refusals by the platform (a full queue, nothing that serves).
    `cold_starts` counts starts of a replica that requests waited for because there was none, and `cold_requests` counts
    these requests.
    """

    accepted: int = 0
    answered: int = 0
    rejected: int = 0
    timed_out: int = 0
    client_gone: int = 0
    lost: int = 0
    in_flight: int = 0
    statuses: Mapping[int, int] = field(default_factory=dict)  # HTTP status → answers
    latency_counts: tuple[int, ...] = ()  # per bucket of LATENCY_BUCKETS, not cumulative over buckets
    latency_sum: float = 0.0  # seconds
    request_bytes: int = 0
    response_bytes: int = 0
    cold_starts: int = 0
    cold_requests: int = 0

    def plus(self, other: "EndpointLedger") -> "EndpointLedger":
        """The sum of two ledgers."""
        return EndpointLedger(
            accepted=self.accepted + other.accepted,
            answered=self.answered + other.answered,
            rejected=self.rejected + other.rejected,
            timed_out=self.timed_out + other.timed_out,
            client_gone=self.client_gone + other.client_gone,
            lost=self.lost + other.lost,
            in_flight=self.in_flight + other.in_flight,
            statuses=add_counts(self.statuses, other.statuses),
            latency_counts=tuple(a + b for a, b in zip_longest(self.latency_counts, other.latency_counts, fillvalue=0)),
            latency_sum=self.latency_sum + other.latency_sum,
            request_bytes=self.request_bytes + other.request_bytes,
            response_bytes=self.response_bytes + other.response_bytes,
            cold_starts=self.cold_starts + other.cold_starts,
            cold_requests=self.cold_requests + other.cold_requests,
        )


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram of durations over LATENCY_BUCKETS. `counts` are per bucket; they grow with time."""

    counts: tuple[int, ...] = ()
    sum: float = 0.0  # seconds

    def plus(self, other: "Histogram") -> "Histogram":
        """The sum of two histograms."""
        counts = tuple(a + b for a, b in zip_longest(self.counts, other.counts, fillvalue=0))
        return Histogram(counts, self.sum + other.sum)


def add_counts(one: Mapping[K, int], other: Mapping[K, int]) -> dict[K, int]:
    """The sum of two maps of counts."""
    return {key: one.get(key, 0) + other.get(key, 0) for key in one.keys() | other.keys()}


def _changed(now: Mapping[Key, V], before: Mapping[Key, V]) -> dict[Key, V]:
    return {key: value for key, value in now.items() if (was := before.get(key)) is not value and was != value}


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One gateway's report.

    - `endpoints`, and `refused` (refusals before an endpoint was known, by HTTP status), are cumulative over the ledger
      of this id, which outlives the gateway's process.
    - `revisions`, `registry_writes` and `cold_seconds` (by `mode phase`, see COLD_PHASES) are cumulative over the
      process.
    - A report that is not `whole` has only the endpoints and revisions that have changed since the one before it on the
      same connection. `gone` are revisions that no longer exist.
    - `findings` are those of the replays that are ordered now and that this gateway has finished, by replay id.
    """

    gateway: int
    pid: int
    route_version: str
    revisions: Mapping[RevisionId, RevisionLoad] = field(default_factory=dict)
    endpoints: Mapping[str, EndpointLedger] = field(default_factory=dict)
    refused: Mapping[int, int] = field(default_factory=dict)
    registry_writes: int = 0  # cumulative: successful writes to the registry through this gateway
    ledger: str = ""
    cold_seconds: Mapping[str, Histogram] = field(default_factory=dict)
    whole: bool = True
    gone: tuple[RevisionId, ...] = ()
    findings: Mapping[str, Findings] = field(default_factory=dict)
    access_version: str = ""  # of the access table that it follows

    def since(self, before: "LoadReport") -> "LoadReport":
        """The differences from an earlier report."""
        return replace(
            self,
            revisions=_changed(self.revisions, before.revisions),
            endpoints=_changed(self.endpoints, before.endpoints),
            gone=tuple(before.revisions.keys() - self.revisions.keys()),
            whole=False,
        )

    def onto(self, before: "LoadReport") -> "LoadReport":
        """This report, completed from the one before it."""
        revisions = {**before.revisions, **self.revisions}
        for rid in self.gone:
            revisions.pop(rid, None)
        endpoints = {**before.endpoints, **self.endpoints}
        return replace(self, revisions=revisions, endpoints=endpoints, whole=True, gone=())
