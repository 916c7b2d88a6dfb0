"""The platform's metrics at one moment, as values and as text."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import Metric as Family

from tidegate import telemetry
from tidegate.control.publish.gateway_totals import Accounts, Totals
from tidegate.control.reporting.metric_families import cold_seconds, counter, gauge, latency, text
from tidegate.control.reporting.protobuf_format import NativeHistogram, protobuf
from tidegate.core.endpoint.revision import ReplicaState, RevisionId, RevisionObservation
from tidegate.core.endpoint.status import Ready, project
from tidegate.core.planes import latency_cells
from tidegate.core.planes.account import Account
from tidegate.core.planes.latency_cells import LATENCY_BUCKETS
from tidegate.core.planes.load_report import LoadReport
from tidegate.core.rollout.snapshot import Snapshot
from tidegate.core.series.latency_histogram import bucket_of

_OUTCOMES = ("answered", "rejected", "timed_out", "client_gone", "lost")

_Labelled = Iterator[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class PlatformSample:
    """All that the metrics are made of. Nobody changes these values any more, so any thread may read them."""

    accounts: Accounts
    reports: tuple[LoadReport, ...]  # of the gateways that are connected
    snapshot: Snapshot
    observations: Mapping[RevisionId, RevisionObservation]
    builds: Mapping[str, int]  # result → how many

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return text(self._families(self.accounts.totals()))

    def protobuf(self) -> bytes:
        """The metrics in Prometheus' protobuf format, with native histograms of latencies."""
        totals = self.accounts.totals()
        latencies: dict[tuple[str, ...], NativeHistogram] = {
            (name,): (_native(ledger), ledger.latency_sum) for name, ledger in totals.endpoints.items()
        }
        return protobuf(self._families(totals), {telemetry.LATENCY.name: latencies})

    def _families(self, totals: Totals) -> Iterator[Family]:
        ledgers = totals.endpoints.items()
        yield counter(telemetry.REQUESTS, (((name,), ledger.accepted) for name, ledger in ledgers))
        yield counter(
            telemetry.RESPONSES,
            (((name, str(status)), n) for name, ledger in ledgers for status, n in sorted(ledger.statuses.items())),
        )
        yield counter(
            telemetry.OUTCOMES,
            (((name, outcome), getattr(ledger, outcome)) for name, ledger in ledgers for outcome in _OUTCOMES),
        )
        yield counter(telemetry.REFUSED, (((str(status),), n) for status, n in sorted(totals.refused.items())))
        yield latency(telemetry.LATENCY, totals.endpoints)
        yield counter(telemetry.REQUEST_BYTES, (((name,), ledger.request_bytes) for name, ledger in ledgers))
        yield counter(telemetry.RESPONSE_BYTES, (((name,), ledger.response_bytes) for name, ledger in ledgers))
        yield counter(telemetry.COLD_STARTS, (((name,), ledger.cold_starts) for name, ledger in ledgers))
        yield counter(telemetry.COLD_REQUESTS, (((name,), ledger.cold_requests) for name, ledger in ledgers))
        yield cold_seconds(totals.cold_seconds)
        yield from self._load_families(totals)
        yield gauge(telemetry.REPLICAS, self._replicas())
        yield gauge(telemetry.MEMORY, self._memory())
        yield gauge(telemetry.ENDPOINT_READY, self._ready())
        yield gauge(telemetry.GATEWAYS, [((), len(self.reports))])
        yield counter(telemetry.BUILDS, (((result,), n) for result, n in self.builds.items()))

    def _load_families(self, totals: Totals) -> Iterator[Family]:
        live = Totals()
        for report in self.reports:
            live = live.plus(report)
        yield gauge(telemetry.IN_FLIGHT, self._named((rid, load.in_flight) for rid, load in live.revisions.items()))
        yield gauge(telemetry.QUEUED, self._named((rid, load.queued) for rid, load in live.revisions.items()))
        yield counter(telemetry.RERUNS, self._named((rid, load.reruns) for rid, load in totals.revisions.items()))
        yield counter(telemetry.BUSY, self._named((rid, load.busy_seconds) for rid, load in totals.revisions.items()))

    def _named(self, values: Iterable[tuple[RevisionId, float]]) -> _Labelled:
        """Values by endpoint and revision, without those of forgotten endpoints."""
        revisions = self.snapshot.revisions
        for rid, value in values:
            if rid in revisions:
                yield (revisions[rid].endpoint_name, rid), value

    def _replicas(self) -> _Labelled:
        for rid, observation in self.observations.items():
            for state in ReplicaState:
                count = sum(replica.state is state for replica in observation.replicas)
                yield (observation.target.endpoint, rid, state.value), count

    def _memory(self) -> _Labelled:
        for rid, observation in self.observations.items():
            if observation.replicas:
                used = sum(replica.memory_bytes for replica in observation.replicas)
                yield (observation.target.endpoint, rid), used

    def _ready(self) -> _Labelled:
        for endpoint in self.snapshot.endpoints:
            if endpoint.deleted_at is None:
                yield (
                    (endpoint.name,),
                    project(endpoint, self.snapshot.revisions, self.observations).ready is Ready.READY,
                )


def _native(ledger: Account) -> dict[int, int]:
    """The latencies in the series' buckets. Those of which only the classic bucket is known count as its bound.

    Prometheus refuses a native histogram whose buckets do not add up to its count.
    """
    buckets = latency_cells.fine(ledger.cells)
    for bound, count in zip((*LATENCY_BUCKETS, LATENCY_BUCKETS[-1]), ledger.coarse, strict=False):
        if count:
            bucket = bucket_of(bound)
            buckets[bucket] = buckets.get(bucket, 0) + count
    return buckets
