"""/metrics of the whole platform, and the export of one endpoint in Databricks' names.

Nothing is counted here: the gateways count, control adds up. Databricks' names are gauges of the last minute although
they end in `_total`; ours are counters.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from tidegate import telemetry
from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.publish.gateway_totals import Totals
from tidegate.control.reconcile.builds import Builds
from tidegate.control.reconcile.world import World
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.revision import ReplicaState, RevisionId, revision_id
from tidegate.core.endpoint.status import Ready
from tidegate.core.errors import NotFound
from tidegate.core.planes.load_report import LATENCY_BUCKETS, EndpointLedger, Histogram
from tidegate.ports import Clock
from tidegate.telemetry import Metric

_OUTCOMES = ("answered", "rejected", "timed_out", "client_gone", "lost")
_MINUTE = 60.0
_SAMPLE_EVERY = 5.0

_Labelled = Iterator[tuple[tuple[str, ...], float]]


class Metrics:
    """Reads the gateways' reports and the newest snapshot of the world."""

    def __init__(self, gateways: Gateways, world: World, builds: Builds, clock: Clock) -> None:
        self._gateways, self._world, self._builds, self._clock = gateways, world, builds, clock
        self._past: deque[tuple[float, Mapping[str, EndpointLedger]]] = deque()

    def platform(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return _text(self._families())

    def endpoint(self, name: str) -> bytes:
        """The last minute of one endpoint, in the names of Databricks' export. Raises NotFound."""
        endpoint = next((e for e in self._world.snapshot.endpoints if e.name == name and not e.deleted_at), None)
        if endpoint is None:
            raise NotFound(f"There is no endpoint '{name[:80]}'.")
        return _text(self._export(endpoint))

    def sample(self) -> None:
        """Remember the counters as they are, for the differences of the last minute."""
        now = self._clock.monotonic()
        if not self._past or now - self._past[-1][0] >= _SAMPLE_EVERY:
            self._past.append((now, self._gateways.totals().endpoints))
        while len(self._past) > 1 and now - self._past[1][0] >= _MINUTE:
            self._past.popleft()

    # --- the platform

    def _families(self) -> Iterator[Family]:
        totals = self._gateways.totals()
        ledgers = totals.endpoints.items()
        yield _counter(telemetry.REQUESTS, (((name,), ledger.accepted) for name, ledger in ledgers))
        yield _counter(
            telemetry.RESPONSES,
            (((name, str(status)), n) for name, ledger in ledgers for status, n in sorted(ledger.statuses.items())),
        )
        yield _counter(
            telemetry.OUTCOMES,
            (((name, outcome), getattr(ledger, outcome)) for name, ledger in ledgers for outcome in _OUTCOMES),
        )
        yield _counter(telemetry.REFUSED, (((str(status),), n) for status, n in sorted(totals.refused.items())))
        yield _latency(telemetry.LATENCY, totals.endpoints)
        yield _counter(telemetry.REQUEST_BYTES, (((name,), ledger.request_bytes) for name, ledger in ledgers))
        yield _counter(telemetry.RESPONSE_BYTES, (((name,), ledger.response_bytes) for name, ledger in ledgers))
        yield _counter(telemetry.COLD_STARTS, (((name,), ledger.cold_starts) for name, ledger in ledgers))
        yield _counter(telemetry.COLD_REQUESTS, (((name,), ledger.cold_requests) for name, ledger in ledgers))
        yield _cold_seconds(totals.cold_seconds)
        yield from self._load_families(totals)
        yield _gauge(telemetry.REPLICAS, self._replicas())
        yield _gauge(telemetry.MEMORY, self._memory())
        yield _gauge(telemetry.ENDPOINT_READY, self._ready())
        yield _gauge(telemetry.GATEWAYS, [((), len(self._gateways.reports))])
        yield _counter(telemetry.BUILDS, (((result,), n) for result, n in self._builds.results.items()))

    def _load_families(self, totals: Totals) -> Iterator[Family]:
        live = Totals()
        for report in self._gateways.reports:
            live = live.plus(report)
        yield _gauge(telemetry.IN_FLIGHT, self._named((rid, load.in_flight) for rid, load in live.revisions.items()))
        yield _gauge(telemetry.QUEUED, self._named((rid, load.queued) for rid, load in live.revisions.items()))
        yield _counter(telemetry.RERUNS, self._named((rid, load.reruns) for rid, load in totals.revisions.items()))
        yield _counter(telemetry.BUSY, self._named((rid, load.busy_seconds) for rid, load in totals.revisions.items()))

    def _named(self, values: Iterable[tuple[RevisionId, float]]) -> _Labelled:
        """By endpoint and revision; what belongs to an endpoint that is forgotten is left out."""
        revisions = self._world.snapshot.revisions
        for rid, value in values:
            if rid in revisions:
                yield (revisions[rid].endpoint_name, rid), value

    def _replicas(self) -> _Labelled:
        for rid, observation in self._world.observations.items():
            for state in ReplicaState:
                count = sum(replica.state is state for replica in observation.replicas)
                yield (observation.target.endpoint, rid, state.value), count

    def _memory(self) -> _Labelled:
        for rid, observation in self._world.observations.items():
            if observation.replicas:
                used = sum(replica.memory_bytes for replica in observation.replicas)
                yield (observation.target.endpoint, rid), used

    def _ready(self) -> _Labelled:
        for endpoint in self._world.snapshot.endpoints:
            if endpoint.deleted_at is None:
                yield (endpoint.name,), self._world.status_of(endpoint).ready is Ready.READY

    # --- one endpoint, in Databricks' names

    def _export(self, endpoint: Endpoint) -> Iterator[Family]:
        name = endpoint.name
        ledger = self._last_minute(name)
        for exported, count in (
            ("request_count_total", sum(ledger.statuses.values())),
            ("request_4xx_count_total", _of_class(ledger, 4)),
            ("request_5xx_count_total", _of_class(ledger, 5)),
        ):
            yield _gauge(Metric(exported, "gauge", "In the last minute.", ("endpoint",)), [((name,), count)])
        yield _latency(_LATENCY_MS, {name: ledger}, scale=1000.0)
        yield _gauge(_CONCURRENCY, self._concurrency(endpoint))

    def _last_minute(self, name: str) -> EndpointLedger:
        now = self._gateways.totals().endpoints.get(name, EndpointLedger())
        then = self._past[0][1].get(name, EndpointLedger()) if self._past else now
        statuses = {status: count - then.statuses.get(status, 0) for status, count in now.statuses.items()}
        earlier = then.latency_counts or (0,) * len(now.latency_counts)
        return EndpointLedger(
            statuses=statuses,
            latency_counts=tuple(a - b for a, b in zip(now.latency_counts, earlier, strict=True)),
            latency_sum=now.latency_sum - then.latency_sum,
        )

    def _concurrency(self, endpoint: Endpoint) -> _Labelled:
        """One replica answers one request or batch at a time."""
        for entity in endpoint.active.served_entities if endpoint.active else ():
            observation = self._world.observations.get(revision_id(endpoint.id, entity))
            yield (endpoint.name, entity.name), observation.ready_replicas if observation else 0


_LATENCY_MS = Metric("request_latency_ms", "histogram", "In the last minute, in the gateway.", ("endpoint",))
_CONCURRENCY = Metric(
    "provisioned_concurrent_requests_total", "gauge", "Requests that can be answered at once now.",
    ("endpoint", "served_entity"),
)  # fmt: skip


def _of_class(ledger: EndpointLedger, hundreds: int) -> int:
    return sum(count for status, count in ledger.statuses.items() if status // 100 == hundreds)


# --- families


def _counter(metric: Metric, values: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _gauge(metric: Metric, values: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _latency(metric: Metric, ledgers: Mapping[str, EndpointLedger], scale: float = 1.0) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*(f"{bound * scale:g}" for bound in LATENCY_BUCKETS), "+Inf"]
    for name, ledger in ledgers.items():
        counts = ledger.latency_counts or (0,) * len(bounds)
        buckets = list(zip(bounds, accumulate(counts), strict=True))
        family.add_metric((name,), buckets=buckets, sum_value=ledger.latency_sum * scale)
    return family


def _cold_seconds(histograms: Mapping[str, Histogram]) -> Family:
    metric = telemetry.COLD_SECONDS
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*(f"{bound:g}" for bound in LATENCY_BUCKETS), "+Inf"]
    for key, histogram in sorted(histograms.items()):
        buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
        family.add_metric(key.split(" "), buckets=buckets, sum_value=histogram.sum)
    return family


class _Families(Collector):
    """Hands the given families over."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def _text(families: Iterable[Family]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Families(tuple(families)))
    return generate_latest(registry)
