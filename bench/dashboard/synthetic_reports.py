"""Reports of a gateway with many busy endpoints, as control receives them."""

import random
from typing import Any

from tidegate.core.planes.account import Account
from tidegate.core.planes.load_report import LoadReport
from tidegate.core.series.series_point import WHOLE

V1 = "wine-1"


class Reporter:
    """Some 10 answers a second of every endpoint. `link` is what the recorder takes for the link to gateways."""

    def __init__(self, link: Any, endpoints: int) -> None:
        self._link, self._draw = link, random.Random(1)
        names = (f"endpoint-{number}" for number in range(endpoints))
        self._accounts = {name: {WHOLE: Account(), V1: Account()} for name in names}
        self._news: dict[str, dict[str, Account]] = {}
        self._last: LoadReport | None = None

    def tick(self) -> None:
        """A second goes by."""
        self._news = {name: self._second(own) for name, own in self._accounts.items()}

    def report(self) -> None:
        """Tell the recorder."""
        accepted = {name: own[WHOLE].accepted for name, own in self._accounts.items()}
        whole = LoadReport(0, 1, "", accounts={name: dict(own) for name, own in self._accounts.items()}, ledger="one")
        news = LoadReport(0, 1, "", accounts=self._news, accepted=accepted, ledger="one", whole=False)
        before, self._last = self._last, whole
        self._link.accounts.latest, self._link.reports = {0: whole}, (whole,)
        self._link.on_news(whole if before is None else news, before)

    def _second(self, own: dict[str, Account]) -> dict[str, Account]:
        draw, known = self._draw, own[V1]
        count = max(1, round(draw.gauss(10, 3)))
        touched: dict[int, int] = {}
        for _ in range(count):
            cell = min(600, max(0, int(draw.gauss(250, 18))))
            touched[cell] = touched.get(cell, known.cells.get(cell, 0)) + 1
        means = (0.0002, 0.0005, 0.00003, 0.002, 0.00002, 0.0001)
        steps = tuple(
            spent + count * mean * draw.uniform(0.6, 1.4) for spent, mean in zip(known.steps, means, strict=True)
        )
        own[WHOLE] = own[WHOLE]._replace(accepted=own[WHOLE].accepted + count)
        own[V1] = known._replace(
            answered=known.answered + count,
            statuses={200: known.answered + count},
            cells={**known.cells, **touched},
            latency_sum=sum(steps),
            request_bytes=known.request_bytes + 200 * count,
            response_bytes=known.response_bytes + 100 * count,
            stepped=known.stepped + count,
            steps=steps,
            batches=known.batches + count,
        )
        return {V1: own[V1]._replace(cells=touched)}
