"""The load report that a gateway sends to control: cumulative counters, and the requests under way."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TypeVar

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.account import Account, completed, total
from tidegate.core.rollout.replay import Findings

# The HTTP statuses that are counted: success, and those of all errors (`tidegate.http.STATUS`).
STATUSES = (200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 431, 500, 503, 504)

# The phases of a cold start: until the engine is asked, until the replica's process begins, until its model is loaded,
# and until the first answer; and the sum of all.
COLD_PHASES = ("queue", "template", "load", "first", "total")

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
class Histogram:
    """A histogram of durations over LATENCY_BUCKETS. `counts` are per bucket; they grow with time."""

    counts: tuple[int, ...] = ()
    sum: float = 0.0  # seconds

    def plus(self, other: "Histogram") -> "Histogram":
        """The sum of two histograms."""
        counts = tuple(a + b for a, b in zip_longest(self.counts, other.counts, fillvalue=0))
        return Histogram(counts, self.sum + other.sum)


def _changed(now: Mapping[Key, V], before: Mapping[Key, V]) -> dict[Key, V]:
    return {key: value for key, value in now.items() if (was := before.get(key)) is not value and was != value}


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One gateway's report.

    - `accounts` (by endpoint, then by served entity; WHOLE is the endpoint's own), and `refused` (refusals before an
      endpoint was known, by HTTP status), are cumulative over the ledger of this id, which outlives the gateway's
      process.
    - `revisions`, `registry_writes` and `cold_seconds` (by `mode phase`, see COLD_PHASES) are cumulative over the
      process.
    - A report that is not `whole` has only the accounts that were touched since the one before it on the same
      connection, with the touched cells of their latencies only, and the revisions that have changed. `accepted` has
      the accepted requests of each endpoint with news; its account WHOLE is there only if more of it was touched.
      `gone` are revisions that no longer exist. `closed` are accounts that no longer exist, as endpoint and served
      entity: their counts went into the endpoint's account PAST.
    - A report that has `more` has nothing but accounts of some endpoints. They belong to the whole one that follows.
    - `findings` are those of the replays that are ordered now and that this gateway has finished, by replay id.
    """

    gateway: int
    pid: int
    route_version: str
    revisions: Mapping[RevisionId, RevisionLoad] = field(default_factory=dict)
    accounts: Mapping[str, Mapping[str, Account]] = field(default_factory=dict)
    refused: Mapping[int, int] = field(default_factory=dict)
    registry_writes: int = 0  # cumulative: successful writes to the registry through this gateway
    ledger: str = ""
    cold_seconds: Mapping[str, Histogram] = field(default_factory=dict)
    whole: bool = True
    more: bool = False
    accepted: Mapping[str, int] = field(default_factory=dict)
    gone: tuple[RevisionId, ...] = ()
    closed: tuple[tuple[str, str], ...] = ()
    findings: Mapping[str, Findings] = field(default_factory=dict)
    access_version: str = ""  # of the access table that it follows

    @property
    def endpoints(self) -> Mapping[str, Account]:
        """The sum of each endpoint's accounts. They are added up at each call."""
        return {name: total(accounts.values()) for name, accounts in self.accounts.items()}

    def since(self, before: "LoadReport") -> "LoadReport":
        """The differences from an earlier report. `accounts` are those that were touched already, and stay."""
        return replace(
            self,
            revisions=_changed(self.revisions, before.revisions),
            gone=tuple(before.revisions.keys() - self.revisions.keys()),
            whole=False,
        )

    def onto(self, before: "LoadReport") -> "LoadReport":
        """This report, completed from the one before it. An endpoint without news keeps its very accounts."""
        revisions = {**before.revisions, **self.revisions}
        for rid in self.gone:
            revisions.pop(rid, None)
        accounts = dict(before.accounts)
        for name, news in self.accounts.items():
            accounts[name] = completed(news, before.accounts.get(name, {}), self.accepted.get(name))
        for name, served in self.closed:
            accounts[name] = {entity: account for entity, account in accounts[name].items() if entity != served}
        return replace(self, revisions=revisions, accounts=accounts, whole=True, accepted={}, gone=(), closed=())
