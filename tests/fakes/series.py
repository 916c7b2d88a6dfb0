"""Series of made-up endpoints: every point is computed from its time, so all readers see the same."""

import math
from collections.abc import Callable, Mapping, Sequence

from tests.fakes.clock import FakeClock
from tidegate.core.series.latency_histogram import bucket_of
from tidegate.core.series.series_point import SeriesPoint, added
from tidegate.ports import Clock

_STEP_SHARES = (0.08, 0.05, 0.09, 0.61, 0.04, 0.13)  # of the latency: queue, wait, decode, predict, encode, gateway


class FakeSeries:
    """`rates` has the usual requests per second of each endpoint; others have no points. `latency` is in seconds."""

    def __init__(self, rates: Mapping[str, float], clock: Clock | None = None, latency: float = 0.004) -> None:
        self.rates, self._clock, self.latency = dict(rates), clock or FakeClock(), latency
        self.entities_of: dict[str, tuple[str, ...]] = {}
        self.reasons: dict[str, dict[str, str]] = {}  # of the replicas' number, by endpoint and served entity
        self.shapes: dict[str, Callable[[SeriesPoint], SeriesPoint]] = {}  # what becomes of each point of an endpoint

    async def points(
        self, endpoint: str, since: float, until: float, step: float, entity: str | None = None
    ) -> Sequence[SeriesPoint]:
        """Points of the whole time that is asked for."""
        first = int(since // step)
        share = 1.0 if entity is None else 1.0 / max(1, len(self.entities_of.get(endpoint, ())))
        return [self._point(endpoint, at * step, step, share) for at in range(first, int(until // step))]

    async def entities(self, endpoint: str, since: float, until: float) -> Sequence[str]:
        """What the test says."""
        return self.entities_of.get(endpoint, ())

    def now(self, endpoint: str) -> SeriesPoint:
        """The last 10 s."""
        return self._point(endpoint, self._clock.now() - 10, 10.0)

    def fleet(self) -> Mapping[str, SeriesPoint]:
        """The last minute of all that have a rate."""
        now = self._clock.now()
        return {name: self._point(name, now - 60, 60.0) for name, rate in self.rates.items() if rate}

    def sparkline(self, endpoint: str) -> Sequence[float]:
        """The last hour."""
        now = self._clock.now()
        return [self._rate(endpoint, now - 60 * (60 - minute)) for minute in range(60)]

    def why(self, endpoint: str) -> Mapping[str, str]:
        """What the test says."""
        return self.reasons.get(endpoint, {})

    def _rate(self, endpoint: str, at: float) -> float:
        return self.rates.get(endpoint, 0.0) * (1 + 0.3 * math.sin(at / 400) + 0.05 * math.sin(at * 7.3))

    def _point(self, endpoint: str, at: float, seconds: float, share: float = 1.0) -> SeriesPoint:
        shape = self.shapes.get(endpoint)
        point = self._usual(endpoint, at, seconds, share)
        return point if shape is None else shape(point)

    def _usual(self, endpoint: str, at: float, seconds: float, share: float) -> SeriesPoint:
        requests = int(self._rate(endpoint, at) * seconds * share)
        if not requests:
            return SeriesPoint(at, seconds)
        wave = 1 + 0.2 * math.sin(at / 300)
        usual, slow = self.latency * wave, self.latency * 4 * wave
        few = requests // 50
        failed = requests // 400
        total = usual * (requests - few) + slow * few
        return added(
            SeriesPoint(at, 0.0),
            SeriesPoint(
                at,
                seconds,
                accepted=requests,
                answered=requests - failed,
                rejected=failed,
                statuses={200: requests - failed, **({429: failed} if failed else {})},
                latency={bucket_of(usual): requests - few, **({bucket_of(slow): few} if few else {})},
                latency_seconds=total,
                stepped=requests - failed,
                steps=tuple(total * part for part in _STEP_SHARES),
                batches=requests / 3,
                request_bytes=requests * 310,
                response_bytes=requests * 40,
                cpu_seconds=requests * 0.0004,
                ready=2.0,
                wanted=2.0,
                memory_bytes=181e6 * wave,
                in_flight=3,
                queued=2,
                oldest_wait_seconds=0.02,
            ),
        )
