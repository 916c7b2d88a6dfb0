"""Prometheus' metric families, made of our values."""

from collections.abc import Iterable, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from tidegate import telemetry
from tidegate.core.planes.account import Account
from tidegate.core.planes.latency_cells import LATENCY_BUCKETS
from tidegate.core.planes.load_report import Histogram
from tidegate.telemetry import Metric


def counter(metric: Metric, values: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    """A counter with these values by their labels."""
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def gauge(metric: Metric, values: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    """A gauge with these values by their labels."""
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def latency(metric: Metric, ledgers: Mapping[str, Account], scale: float = 1.0) -> Family:
    """The histogram of every endpoint's latencies, in seconds times `scale`."""
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*(f"{bound * scale:g}" for bound in LATENCY_BUCKETS), "+Inf"]
    for name, ledger in ledgers.items():
        buckets = list(zip(bounds, accumulate(ledger.latency_counts), strict=True))
        family.add_metric((name,), buckets=buckets, sum_value=ledger.latency_sum * scale)
    return family


def cold_seconds(histograms: Mapping[str, Histogram]) -> Family:
    """The histograms of the phases of cold starts, in seconds, by `mode phase`."""
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


def text(families: Iterable[Family]) -> bytes:
    """The families in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Families(tuple(families)))
    return generate_latest(registry)
