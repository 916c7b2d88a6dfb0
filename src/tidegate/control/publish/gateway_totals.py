"""Counters over all gateways, past and present. No counter falls when a gateway ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.account import Account, add_counts, in_flight, total
from tidegate.core.planes.load_report import Histogram, LoadReport, RevisionLoad
from tidegate.core.series.series_point import WHOLE


@dataclass(frozen=True, slots=True)
class Totals:
    """The sum of the last reports of any number of gateways."""

    endpoints: Mapping[str, Account] = field(default_factory=dict)
    revisions: Mapping[RevisionId, RevisionLoad] = field(default_factory=dict)
    refused: Mapping[int, int] = field(default_factory=dict)
    cold_seconds: Mapping[str, Histogram] = field(default_factory=dict)

    def plus(self, report: LoadReport) -> "Totals":
        """These totals, with one gateway's report added."""
        endpoints, revisions = dict(self.endpoints), dict(self.revisions)
        for name, account in report.endpoints.items():
            endpoints[name] = endpoints[name].plus(account) if name in endpoints else account
        for rid, load in report.revisions.items():
            revisions[rid] = _add_loads(revisions[rid], load) if rid in revisions else load
        cold = dict(self.cold_seconds)
        for key, histogram in report.cold_seconds.items():
            cold[key] = cold.get(key, Histogram()).plus(histogram)
        return Totals(endpoints, revisions, add_counts(self.refused, report.refused), cold)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The newest report of every gateway, by its number, and the counts of gateways that are gone.

    Sums are made when they are asked for, so to take the accounts of 1,000 endpoints costs nothing.
    """

    past: Totals = field(default_factory=Totals)
    latest: Mapping[int, LoadReport] = field(default_factory=dict)

    def plus(self, report: LoadReport) -> "Accounts":
        """These accounts, with the report of a further gateway."""
        return Accounts(self.past, {**self.latest, report.gateway: report})

    def totals(self) -> Totals:
        """The sum of all."""
        totals = self.past
        for report in self.latest.values():
            totals = totals.plus(report)
        return totals

    def endpoint(self, name: str) -> Account | None:
        """The sum of one endpoint; None for an endpoint that no gateway knows."""
        found = [total(report.accounts[name].values()) for report in self.latest.values() if name in report.accounts]
        if name in self.past.endpoints:
            found.append(self.past.endpoints[name])
        return total(found) if found else None


def left_behind(report: LoadReport, successor: LoadReport) -> LoadReport:
    """The part of a gateway's last report that its successor's reports will not have.

    A successor goes on with the ledger, and has closed what was under way as lost; only what the process itself counted
    ends with it. Where the ledger could not be read, the successor has begun another, and all of it is left behind.
    """
    ended = _closed(report)
    return ended if successor.ledger != report.ledger else replace(ended, accounts={}, refused={})


def _closed(report: LoadReport) -> LoadReport:
    return replace(
        report,
        accounts={name: _settled(accounts) for name, accounts in report.accounts.items()},
        revisions={
            rid: RevisionLoad(busy_seconds=load.busy_seconds, reruns=load.reruns)
            for rid, load in report.revisions.items()
        },
    )


def _settled(accounts: Mapping[str, Account]) -> Mapping[str, Account]:
    """An endpoint's accounts, with the requests under way counted as lost."""
    own = accounts.get(WHOLE, Account())
    return {**accounts, WHOLE: own._replace(lost=own.lost + in_flight(accounts.values()))}


def _add_loads(one: RevisionLoad, other: RevisionLoad) -> RevisionLoad:
    return RevisionLoad(
        in_flight=one.in_flight + other.in_flight,
        queued=one.queued + other.queued,
        oldest_wait_seconds=max(one.oldest_wait_seconds, other.oldest_wait_seconds),
        busy_seconds=one.busy_seconds + other.busy_seconds,
        reruns=one.reruns + other.reruns,
    )
