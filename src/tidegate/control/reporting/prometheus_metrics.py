"""The metrics of the whole platform, and the export of one endpoint in Databricks' names.

Nothing is counted here: the gateways count, and control adds up. Databricks' names are gauges of the last minute of the
series, although they end in `_total`. Tidegate's own are counters.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.core import Metric as Family

from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.reconcile.builds import Builds
from tidegate.control.reconcile.world import World
from tidegate.control.reporting import protobuf_format
from tidegate.control.reporting.metric_families import gauge, latency, text
from tidegate.control.reporting.platform_metrics import PlatformSample
from tidegate.control.series.series import Series, whole_until
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.revision import revision_id
from tidegate.core.errors import NotFound
from tidegate.core.planes.account import Account
from tidegate.core.planes.latency_cells import LATENCY_BUCKETS
from tidegate.core.series.latency_histogram import Histogram, middle
from tidegate.core.series.series_point import SeriesPoint, all_beside
from tidegate.ports import Clock
from tidegate.telemetry import Metric

TEXT = "text/plain; version=0.0.4; charset=utf-8"
_MINUTE = 60.0

_Labelled = Iterator[tuple[tuple[str, ...], float]]


class Metrics:
    """Reads the gateways' reports and the newest snapshot of the world.

    The platform's text has some 30,000 lines for 1,000 endpoints. A thread writes it, one at a time, from values that
    nobody changes any more; meanwhile the event loop goes on.
    """

    def __init__(self, gateways: Gateways, world: World, builds: Builds, series: Series, clock: Clock) -> None:
        self._gateways, self._world, self._builds = gateways, world, builds
        self._series, self._clock = series, clock
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")

    async def platform(self, accept: str = "") -> tuple[bytes, str]:
        """The whole platform, and the content type of that: Prometheus' text format, version 0.0.4.

        For who asks for it by its Accept header first, it is Prometheus' protobuf format with native histograms.
        """
        seen = PlatformSample(
            self._gateways.accounts,
            self._gateways.reports,
            self._world.snapshot,
            self._world.observations,
            dict(self._builds.results),
        )
        native = protobuf_format.accepts(accept)
        written = asyncio.get_running_loop().run_in_executor(self._writer, seen.protobuf if native else seen.text)
        return await written, protobuf_format.CONTENT_TYPE if native else TEXT

    async def endpoint(self, name: str) -> bytes:
        """The last whole minute of one endpoint, in the names of Databricks' export. Raises NotFound."""
        endpoint = next((e for e in self._world.snapshot.endpoints if e.name == name and not e.deleted_at), None)
        if endpoint is None:
            raise NotFound(f"There is no endpoint '{name[:80]}'.")
        until = whole_until(self._clock.now())
        found = await self._series.points(name, until - _MINUTE, until, 1.0)
        return text(self._export(endpoint, all_beside(found, until - _MINUTE, _MINUTE)))

    def ledger(self, name: str) -> Account:
        """The sum of an endpoint's counters over all gateways, as `platform` has them; empty for an unknown one."""
        return self._gateways.accounts.endpoint(name) or Account()

    # --- one endpoint, in Databricks' names

    def _export(self, endpoint: Endpoint, minute: SeriesPoint) -> Iterator[Family]:
        name = endpoint.name
        for exported, count in (
            ("request_count_total", minute.requests),
            ("request_4xx_count_total", minute.of_class(4)),
            ("request_5xx_count_total", minute.of_class(5)),
        ):
            yield gauge(Metric(exported, "gauge", "In the last minute.", ("endpoint",)), [((name,), count)])
        account = Account(coarse=_coarse(minute.latency), latency_sum=minute.latency_seconds)
        yield latency(_LATENCY_MS, {name: account}, scale=1000.0)
        yield gauge(_CONCURRENCY, self._concurrency(endpoint))

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


def _coarse(fine: Histogram) -> tuple[int, ...]:
    """The latencies per bucket of LATENCY_BUCKETS, each counted as the middle of its fine one."""
    counts = [0] * (len(LATENCY_BUCKETS) + 1)
    for bucket, count in fine.items():
        counts[bisect_left(LATENCY_BUCKETS, middle(bucket))] += count
    return tuple(counts)
