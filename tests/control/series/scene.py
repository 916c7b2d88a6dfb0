"""A recorder whose gateways say what the test says, second by second, on a clock that the test moves."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from tests.fakes.clock import FakeClock
from tests.fakes.series_store import FakeSeriesStore
from tidegate.control.series.kept_series import KeptSeries
from tidegate.control.series.recorder import Recorder
from tidegate.core.endpoint.endpoint import Endpoint
from tidegate.core.planes.account import Account
from tidegate.core.planes.latency_cells import CELL_BOUNDS
from tidegate.core.planes.load_report import LoadReport
from tidegate.core.rollout.snapshot import Snapshot
from tidegate.core.series.series_point import WHOLE, SeriesPoint
from tidegate.ports import SeriesStore

V1 = "wine-1"
MINUTE = 60.0


@dataclass
class FakeGateway:
    """The accounts of one gateway, which outlive it, and its reports."""

    number: int = 0
    ledger: str = "one"
    pid: int = 1
    accounts: dict[str, dict[str, Account]] = field(default_factory=dict)
    touched: dict[str, dict[str, Account]] = field(default_factory=dict)
    last: LoadReport | None = None

    def answer(self, count: int, cell: int = 300, endpoint: str = "wine", entity: str = V1) -> None:
        """Accept and answer so many requests, all as long as this cell says."""
        own = self.accounts.setdefault(endpoint, {})
        whole, served = own.get(WHOLE, Account()), own.get(entity, Account())
        spent = count * CELL_BOUNDS[cell]
        own[WHOLE] = whole._replace(accepted=whole.accepted + count)
        own[entity] = served._replace(
            answered=served.answered + count,
            statuses={200: served.statuses.get(200, 0) + count},
            cells={**served.cells, cell: served.cells.get(cell, 0) + count},
            latency_sum=served.latency_sum + spent,
            stepped=served.stepped + count,
            steps=(0.0, 0.0, 0.0, served.steps[3] + spent, 0.0, 0.0),
            batches=served.batches + count,
        )
        news = self.touched.setdefault(endpoint, {})
        news[entity] = own[entity]._replace(cells={cell: own[entity].cells[cell]})


class Scene:
    """A recorder with its store. `restart` ends it, or kills it, and begins another."""

    def __init__(self, now: float = 1_700_000_040.25, store: SeriesStore | None = None) -> None:
        self.clock, self.store = FakeClock(now), store or FakeSeriesStore()
        self.world: Any = SimpleNamespace(snapshot=Snapshot(), observations={})
        self.gateways = [FakeGateway()]
        self._assemble()

    def _assemble(self) -> None:
        link: Any = SimpleNamespace(reports=(), accounts=SimpleNamespace(latest={}), on_news=None)
        scaler: Any = SimpleNamespace(reasons={})
        self.link = link
        self.recorder = Recorder(link, self.world, self.store, self.clock, 2**30)
        self.series = KeptSeries(self.recorder, self.world, scaler, self.clock)
        for gateway in self.gateways:
            gateway.last = None

    async def restart(self, *, killed: bool = False) -> None:
        if not killed:
            await self.recorder.stop()
        self._assemble()

    def report(self, gateway: FakeGateway) -> None:
        """Have a gateway report what has changed; all, if it is its first report to this recorder."""
        before = gateway.last
        whole = LoadReport(
            gateway.number, gateway.pid, "", accounts={name: dict(own) for name, own in gateway.accounts.items()},
            ledger=gateway.ledger,
        )  # fmt: skip
        accepted = {name: gateway.accounts[name][WHOLE].accepted for name in gateway.touched}
        news = whole if before is None else replace(whole, accounts=gateway.touched, accepted=accepted, whole=False)
        gateway.last, gateway.touched = whole, {}
        self.link.accounts.latest = {**self.link.accounts.latest, gateway.number: whole}
        self.link.reports = tuple(self.link.accounts.latest.values())
        self.link.on_news(news, before)

    async def second(self, count: int = 1) -> None:
        """Let seconds pass, each with a report of every gateway."""
        for _ in range(count):
            self.clock.advance(1.0)
            for gateway in self.gateways:
                self.report(gateway)
            await self.recorder.run_once()

    async def serve(self, seconds: int, each: int, cell: int = 300) -> None:
        """Seconds with so many answers each, by the first gateway."""
        for _ in range(seconds):
            self.gateways[0].answer(each, cell)
            await self.second()

    async def points(self, step: float, ago: float = 300.0, entity: str | None = None) -> list[SeriesPoint]:
        now = self.clock.now()
        return list(await self.series.points("wine", now - ago, now, step, entity))

    def own(self, *endpoints: Endpoint) -> None:
        """Have control know these endpoints."""
        self.world.snapshot = replace(self.world.snapshot, endpoints=endpoints)


def answered(points: list[SeriesPoint]) -> int:
    return sum(point.answered for point in points)


def by_time(points: list[SeriesPoint]) -> Mapping[float, int]:
    return {point.at: point.answered for point in points if point.answered}
