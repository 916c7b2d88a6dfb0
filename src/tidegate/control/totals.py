"""Counters over all gateways, past and present: a gateway that ends takes nothing back."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TypeVar

from tidegate.core.load import EndpointLedger, LoadReport, RevisionLoad
from tidegate.core.revision import RevisionId

K = TypeVar("K", str, int)


@dataclass(frozen=True, slots=True)
class Totals:
    """The sum of the last reports of any number of gateways."""

    endpoints: Mapping[str, EndpointLedger] = field(default_factory=dict)
    revisions: Mapping[RevisionId, RevisionLoad] = field(default_factory=dict)
    refused: Mapping[int, int] = field(default_factory=dict)

    def plus(self, report: LoadReport) -> "Totals":
        """These totals and one gateway's account."""
        endpoints, revisions = dict(self.endpoints), dict(self.revisions)
        for name, ledger in report.endpoints.items():
            endpoints[name] = add_ledgers(endpoints.get(name, EndpointLedger()), ledger)
        for rid, load in report.revisions.items():
            revisions[rid] = _add_loads(revisions.get(rid, RevisionLoad()), load)
        return Totals(endpoints, revisions, _add_counts(self.refused, report.refused))


def closed(report: LoadReport) -> LoadReport:
    """The account of a gateway that has ended: what was under way is lost."""
    return replace(
        report,
        endpoints={
            name: replace(ledger, lost=ledger.lost + ledger.in_flight, in_flight=0)
            for name, ledger in report.endpoints.items()
        },
        revisions={
            rid: RevisionLoad(busy_seconds=load.busy_seconds, reruns=load.reruns)
            for rid, load in report.revisions.items()
        },
    )


def add_ledgers(one: EndpointLedger, other: EndpointLedger) -> EndpointLedger:
    """The sum of two accounts of an endpoint."""
    return EndpointLedger(
        accepted=one.accepted + other.accepted,
        answered=one.answered + other.answered,
        rejected=one.rejected + other.rejected,
        timed_out=one.timed_out + other.timed_out,
        client_gone=one.client_gone + other.client_gone,
        lost=one.lost + other.lost,
        in_flight=one.in_flight + other.in_flight,
        statuses=_add_counts(one.statuses, other.statuses),
        latency_counts=tuple(a + b for a, b in zip_longest(one.latency_counts, other.latency_counts, fillvalue=0)),
        latency_sum=one.latency_sum + other.latency_sum,
        request_bytes=one.request_bytes + other.request_bytes,
        response_bytes=one.response_bytes + other.response_bytes,
    )


def _add_loads(one: RevisionLoad, other: RevisionLoad) -> RevisionLoad:
    return RevisionLoad(
        in_flight=one.in_flight + other.in_flight,
        queued=one.queued + other.queued,
        oldest_wait_seconds=max(one.oldest_wait_seconds, other.oldest_wait_seconds),
        busy_seconds=one.busy_seconds + other.busy_seconds,
        reruns=one.reruns + other.reruns,
    )


def _add_counts(one: Mapping[K, int], other: Mapping[K, int]) -> dict[K, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in one.keys() | other.keys()}
