"""The counters of requests: an account for each served entity of an endpoint. Nothing else counts requests.

accepted = answered + rejected + timed_out + client_gone + lost + in flight, exactly, over all accounts of an endpoint,
at any moment between two calls and whenever the process is killed. In flight is not a counter: it is accepted minus the
others.
"""

from collections.abc import Mapping, Sequence

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.account import PAST, Account, add_counts, total
from tidegate.core.planes.load_report import STATUSES, LoadReport, RevisionLoad
from tidegate.core.planes.route_table import RouteTable
from tidegate.core.series.series_point import WHOLE
from tidegate.gateway.metering import record
from tidegate.gateway.metering.ledger import Ledger
from tidegate.gateway.metering.record import Record, Steps
from tidegate.gateway.queue.cold_start import ColdTimes

# How many accounts are merged into PAST at once: each takes 0.2 ms.
_MERGED_AT_ONCE = 4


class EndpointMeter:
    """The accounts of one endpoint. Each request is accepted once, and closed once in one of four ways.

    It is closed in the account of the served entity whose version it went to, or in WHOLE where it went to none.
    """

    __slots__ = ("_cells", "_news", "_stirred", "accepted", "ledger", "name", "records")

    def __init__(self, name: str, ledger: Ledger, news: "list[EndpointMeter]") -> None:
        """The accounts of the endpoint `name`. It puts itself into `news` when there is something to report."""
        self.name, self.ledger = name, ledger
        self._news, self._stirred = news, False
        whole = Record(ledger.body(name))
        self._cells = whole.cells
        self.accepted = whole.cells[record.ACCEPTED]
        self.records: dict[str, Record] = {WHOLE: whole}
        self._stir()  # it is told of, even if nothing is ever accepted

    def accept(self) -> None:
        """Count a request that came in."""
        self.accepted = self._cells[record.ACCEPTED] = self.accepted + 1
        if not self._stirred:
            self._stir()

    def answer_ok(
        self, entity: str, seconds: float, waited: float, steps: Steps, bytes_in: int, bytes_out: int
    ) -> None:
        """Close a request that was answered with a prediction, the most frequent case."""
        account = self.records.get(entity)
        if account is None:
            account = self._open(entity)
        account.answer_ok(seconds, waited, steps, bytes_in, bytes_out)
        if not self._stirred:
            self._stir()

    def answer(self, entity: str, status: int, seconds: float, bytes_in: int) -> None:
        """Close a request that the model answered with an error."""
        self._record(entity).close(record.FAILED, status, seconds, bytes_in)

    def reject(self, entity: str, status: int, seconds: float) -> None:
        """Close a request that the platform refused."""
        self._record(entity).close(record.REJECTED, status, seconds)

    def time_out(self, entity: str, status: int, seconds: float) -> None:
        """Close a request whose deadline passed."""
        self._record(entity).close(record.TIMED_OUT, status, seconds)

    def leave(self, entity: str) -> None:
        """Close a request whose caller has gone."""
        self._record(entity).count(record.CLIENT_GONE)

    def wait_cold(self, entity: str, *, first: bool) -> None:
        """Count a request that waited for a replica's start. `first` of the requests that waited for it."""
        account = self._record(entity)
        account.count(record.COLD_REQUESTS)
        if first:
            account.count(record.COLD_STARTS)

    def start_cold(self, entity: str, mode: str, phases: tuple[float, ...]) -> None:
        """Count a cold start's phases, when its first answer has come."""
        self._record(entity).start_cold(mode, phases)

    def news(self) -> dict[str, Account]:
        """The accounts that have changed, with the touched cells of their latencies. It leaves `news`."""
        self._stirred = False
        return {entity: account.news() for entity, account in self.records.items() if account.changed}

    def _record(self, entity: str) -> Record:
        if not self._stirred:
            self._stir()
        return self.records.get(entity) or self._open(entity)

    def _open(self, entity: str) -> Record:
        account = self.records[entity] = Record(self.ledger.body(self.name, entity))
        return account

    def _stir(self) -> None:
        self._stirred = True
        self._news.append(self)


class Meter:
    """All accounts of one gateway. `others` are ledgers of gateways that are gone, which are reported too."""

    def __init__(self, gateway: int, pid: int, book: Ledger, others: Sequence[Ledger] = ()) -> None:
        self._gateway, self._pid, self._ledger = gateway, pid, book
        self._endpoints: dict[str, EndpointMeter] = {}
        self._news: list[EndpointMeter] = []
        self._refused = book.refused
        self._left: dict[str, Account] = {}  # what others have counted, by endpoint
        self._refused_by_others: dict[int, int] = {}
        for other in others:
            self._refused_by_others = add_counts(self._refused_by_others, _by_status(other.refused))
            for name in other.endpoints:
                whole = total(other.accounts(name).values())
                self._left[name] = self._left[name].plus(whole) if name in self._left else whole
        self._unnamed: list[tuple[str, str]] = []  # accounts to be merged
        self.registry_writes = 0
        self.cold = ColdTimes()

    def endpoint(self, name: str) -> EndpointMeter:
        """The endpoint's accounts. The first request opens them."""
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            endpoint = self._endpoints[name] = EndpointMeter(name, self._ledger, self._news)
        return endpoint

    def refuse(self, status: int) -> None:
        """Count a request that was refused before its endpoint was known."""
        self._refused[STATUSES.index(status)] += 1

    def follow(self, table: RouteTable) -> None:
        """A route table is followed. Accounts of served entities that it does not name are merged into PAST by and by.

        A request of such an entity that ends later opens its account anew.
        """
        named = {(route.endpoint, route.label) for route in table.revisions.values()}
        kept = {WHOLE, PAST}
        self._unnamed = [
            (endpoint, entity)
            for endpoint in self._ledger.endpoints
            for entity in self._ledger.entities(endpoint)
            if entity not in kept and (endpoint, entity) not in named
        ]

    def report(
        self, route_version: str, revisions: Mapping[RevisionId, RevisionLoad], *, whole: bool = True
    ) -> LoadReport:
        """A load report for control: of everything, or of what was touched since the last one."""
        accounts = {endpoint.name: endpoint.news() for endpoint in self._news}
        accepted = {} if whole else {endpoint.name: endpoint.accepted for endpoint in self._news}
        self._news.clear()
        closed = () if whole else self._merge(accounts)
        if whole:
            accounts = {name: self._accounts(name) for name in dict.fromkeys([*self._ledger.endpoints, *self._left])}
        return LoadReport(
            gateway=self._gateway,
            pid=self._pid,
            route_version=route_version,
            ledger=self._ledger.id,
            revisions=revisions,
            accounts=accounts,
            accepted=accepted,
            refused=add_counts(_by_status(self._refused), self._refused_by_others),
            registry_writes=self.registry_writes,
            cold_seconds=self.cold.report(),
            whole=whole,
            closed=closed,
        )

    def _accounts(self, name: str) -> dict[str, Account]:
        """All accounts of an endpoint. What others have counted stands in PAST."""
        own = self._ledger.accounts(name) if name in self._ledger.endpoints else {}
        left = self._left.get(name)
        return own if left is None else {**own, PAST: own[PAST].plus(left) if PAST in own else left}

    def _merge(self, accounts: dict[str, dict[str, Account]]) -> tuple[tuple[str, str], ...]:
        """Merge some accounts that no route names into PAST, and report that one. Those with news wait for the next."""
        due = [(name, entity) for name, entity in self._unnamed if entity not in accounts.get(name, ())]
        for name, entity in due[:_MERGED_AT_ONCE]:
            self._unnamed.remove((name, entity))
            if name in self._endpoints:
                self._endpoints[name].records.pop(entity, None)
            self._ledger.merge(name, entity)
            accounts.setdefault(name, {})[PAST] = self._accounts(name)[PAST]
        return tuple(due[:_MERGED_AT_ONCE])


def _by_status(refused: memoryview) -> dict[int, int]:
    return {status: count for status, count in zip(STATUSES, refused, strict=True) if count}
