"""The counters of requests: an account for each endpoint. Nothing else counts requests.

accepted = answered + rejected + timed_out + client_gone + lost + in flight, exactly, at any moment between two calls
and whenever the process is killed. In flight is not a counter: it is accepted minus the others.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes import account as reported
from tidegate.core.planes.account import add_counts
from tidegate.core.planes.latency_cells import LATENCY_BUCKETS
from tidegate.core.planes.load_report import STATUSES, LoadReport, RevisionLoad
from tidegate.core.series.series_point import WHOLE
from tidegate.gateway.metering import ledger
from tidegate.gateway.metering.ledger import (
    ANSWERED,
    BYTES_IN,
    BYTES_OUT,
    CLIENT_GONE,
    FIRST_LATENCY,
    MICROSECONDS,
    Ledger,
)
from tidegate.gateway.queue.cold_start import ColdTimes

_CELL = {status: ledger.FIRST_STATUS + place for place, status in enumerate(STATUSES)}
_OK = _CELL[200]


class Account:
    """One endpoint's account. Each request is accepted once, and closed once in one of four ways."""

    __slots__ = ("cells",)

    def __init__(self, cells: memoryview) -> None:
        self.cells = cells

    def accept(self) -> None:
        """Count a request that came in."""
        self.cells[ledger.ACCEPTED] += 1

    def answer_ok(self, seconds: float, bytes_in: int, bytes_out: int) -> None:
        """Close a request that was answered with a prediction, the most frequent case, in one call."""
        cells = self.cells
        cells[ANSWERED] += 1
        cells[_OK] += 1
        cells[MICROSECONDS] += int(seconds * 1e6)
        cells[FIRST_LATENCY + bisect_left(LATENCY_BUCKETS, seconds)] += 1
        cells[BYTES_IN] += bytes_in
        cells[BYTES_OUT] += bytes_out

    def answer(self, status: int, seconds: float, bytes_in: int) -> None:
        """Close a request that the model answered with an error."""
        self.cells[ANSWERED] += 1
        self.cells[BYTES_IN] += bytes_in
        self._observe(status, seconds)

    def reject(self, status: int, seconds: float) -> None:
        """Close a request that the platform refused."""
        self.cells[ledger.REJECTED] += 1
        self._observe(status, seconds)

    def time_out(self, status: int, seconds: float) -> None:
        """Close a request whose deadline passed."""
        self.cells[ledger.TIMED_OUT] += 1
        self._observe(status, seconds)

    def wait_cold(self, *, first: bool) -> None:
        """Count a request that waited for a replica's start. `first` of the requests that waited for it."""
        self.cells[ledger.COLD_REQUESTS] += 1
        self.cells[ledger.COLD_STARTS] += first

    def leave(self) -> None:
        """Close a request whose caller has gone."""
        self.cells[CLIENT_GONE] += 1

    def _observe(self, status: int, seconds: float) -> None:
        self.cells[_CELL[status]] += 1
        self.cells[MICROSECONDS] += int(seconds * 1e6)
        self.cells[FIRST_LATENCY + bisect_left(LATENCY_BUCKETS, seconds)] += 1


class Meter:
    """All accounts of one gateway. `others` are ledgers of gateways that are gone, which are reported too."""

    def __init__(self, gateway: int, pid: int, book: Ledger, others: Sequence[Ledger] = ()) -> None:
        self._gateway, self._pid, self._ledger, self._others = gateway, pid, book, others
        self._accounts: dict[str, Account] = {}
        self._refused = book.refused
        self._read: dict[tuple[Ledger, str], tuple[bytes, reported.Account]] = {}  # what stood there, and what it said
        self.registry_writes = 0
        self.cold = ColdTimes()

    def account(self, endpoint: str) -> Account:
        """The endpoint's account. The first request opens it."""
        account = self._accounts.get(endpoint)
        if account is None:
            account = self._accounts[endpoint] = Account(self._ledger.cells(endpoint))
        return account

    def refuse(self, status: int) -> None:
        """Count a request that was refused before its endpoint was known."""
        self._refused[_CELL[status] - ledger.FIRST_STATUS] += 1

    def report(self, route_version: str, revisions: Mapping[RevisionId, RevisionLoad]) -> LoadReport:
        """A load report for control."""
        endpoints: dict[str, reported.Account] = {}
        refused: dict[int, int] = {}
        for book in (self._ledger, *self._others):
            for name in book.endpoints:
                account = self._read_account(book, name)
                endpoints[name] = endpoints[name].plus(account) if name in endpoints else account
            counts = zip(STATUSES, book.refused, strict=True)
            refused = add_counts(refused, {status: count for status, count in counts if count})
        return LoadReport(
            gateway=self._gateway,
            pid=self._pid,
            route_version=route_version,
            ledger=self._ledger.id,
            revisions=revisions,
            accounts={name: {WHOLE: account} for name, account in endpoints.items()},
            refused=refused,
            registry_writes=self.registry_writes,
            cold_seconds=self.cold.report(),
        )

    def _read_account(self, book: Ledger, name: str) -> reported.Account:
        """An account in a ledger. The same object is returned while the counters stay the same."""
        cells = book.cells(name)
        raw, known = cells.tobytes(), self._read.get((book, name))
        if known is None or known[0] != raw:
            known = self._read[book, name] = raw, ledger.account(cells)
        return known[1]
