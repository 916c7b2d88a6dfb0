"""The metrics of the whole platform, and the export of one endpoint in Databricks' names.

Nothing is counted here: the gateways count, and control adds up. Databricks' names are gauges of the last minute,
although they end in `_total`. Tidegate's own are counters.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.core import Metric as Family

from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.publish.gateway_totals import Accounts
from tidegate.control.reconcile.builds import Builds
from tidegate.control.reconcile.world import World
from tidegate.control.reporting.metric_families import gauge, latency, text
from tidegate.control.reporting.platform_metrics import PlatformSample
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.endpoint.revision import revision_id
from tidegate.core.errors import NotFound
from tidegate.core.planes.account import Account
from tidegate.ports import Clock
from tidegate.telemetry import Metric

_MINUTE = 60.0
_SAMPLE_EVERY = 5.0

_Labelled = Iterator[tuple[tuple[str, ...], float]]


class Metrics:
    """Reads the gateways' reports and the newest snapshot of the world.

    The platform's text has some 30,000 lines for 1,000 endpoints. A thread writes it, one at a time, from values that
    nobody changes any more; meanwhile the event loop goes on.
    """

    def __init__(self, gateways: Gateways, world: World, builds: Builds, clock: Clock) -> None:
        self._gateways, self._world, self._builds, self._clock = gateways, world, builds, clock
        self._past: deque[tuple[float, Accounts]] = deque()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")

    async def platform(self) -> bytes:
        """The whole platform in Prometheus' text format, version 0.0.4."""
        seen = PlatformSample(
            self._gateways.accounts,
            self._gateways.reports,
            self._world.snapshot,
            self._world.observations,
            dict(self._builds.results),
        )
        return await asyncio.get_running_loop().run_in_executor(self._writer, seen.text)

    def endpoint(self, name: str) -> bytes:
        """The last minute of one endpoint, in the names of Databricks' export. Raises NotFound."""
        endpoint = next((e for e in self._world.snapshot.endpoints if e.name == name and not e.deleted_at), None)
        if endpoint is None:
            raise NotFound(f"There is no endpoint '{name[:80]}'.")
        return text(self._export(endpoint))

    def ledger(self, name: str) -> Account:
        """The sum of an endpoint's counters over all gateways, as `platform` has them; empty for an unknown one."""
        return self._gateways.accounts.endpoint(name) or Account()

    def sample(self) -> None:
        """Remember the counters as they are, for the differences of the last minute."""
        now = self._clock.monotonic()
        if not self._past or now - self._past[-1][0] >= _SAMPLE_EVERY:
            self._past.append((now, self._gateways.accounts))
        while len(self._past) > 1 and now - self._past[1][0] >= _MINUTE:
            self._past.popleft()

    # --- one endpoint, in Databricks' names

    def _export(self, endpoint: Endpoint) -> Iterator[Family]:
        name = endpoint.name
        ledger = self._last_minute(name)
        for exported, count in (
            ("request_count_total", sum(ledger.statuses.values())),
            ("request_4xx_count_total", _of_class(ledger, 4)),
            ("request_5xx_count_total", _of_class(ledger, 5)),
        ):
            yield gauge(Metric(exported, "gauge", "In the last minute.", ("endpoint",)), [((name,), count)])
        yield latency(_LATENCY_MS, {name: ledger}, scale=1000.0)
        yield gauge(_CONCURRENCY, self._concurrency(endpoint))

    def _last_minute(self, name: str) -> Account:
        now = self._gateways.accounts.endpoint(name) or Account()
        then = (self._past[0][1].endpoint(name) or Account()) if self._past else now
        statuses = {status: count - then.statuses.get(status, 0) for status, count in now.statuses.items()}
        return Account(
            statuses=statuses,
            coarse=tuple(a - b for a, b in zip(now.latency_counts, then.latency_counts, strict=True)),
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


def _of_class(ledger: Account, hundreds: int) -> int:
    return sum(count for status, count in ledger.statuses.items() if status // 100 == hundreds)
