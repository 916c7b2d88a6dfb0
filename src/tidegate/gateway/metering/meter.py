"""The counters of requests: an account for each served entity of an endpoint. Nothing else counts requests.

accepted = answered + rejected + timed_out + client_gone + lost + in flight, exactly, over all accounts of an endpoint,
at any moment between two calls and whenever the process is killed. In flight is not a counter: it is accepted minus the
others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.account import PAST, Account, add_counts, total
from tidegate.core.planes.load_report import STATUSES, LoadReport, RevisionLoad
from tidegate.core.planes.noted_requests import NotedRequests
from tidegate.core.planes.route_table import RouteTable
from tidegate.core.series.series_point import WHOLE
from tidegate.gateway.metering import record, slowest
from tidegate.gateway.metering.ledger import Ledger
from tidegate.gateway.metering.record import Record
from tidegate.gateway.metering.slowest import Slowest
from tidegate.gateway.queue.cold_start import ColdTimes

# How many accounts are merged into PAST at once: each takes some 0.1 ms.
_MERGED_AT_ONCE = 4
# How many accounts a part of a whole report has: some ms of CPU time.
_IN_A_PART = 100


class EndpointMeter(dict[str, Record]):
    """The accounts of one endpoint by served entity; one that is missing is opened. Each request is accepted once.

    It is closed in the account of the served entity whose version it went to, or in WHOLE where it went to none.
    """

    __slots__ = ("_cells", "_changed", "_ledger", "_news", "_stirred", "accepted", "name", "slowest")

    def __init__(self, name: str, ledger: Ledger, news: "list[EndpointMeter]") -> None:
        """The accounts of the endpoint `name`. It puts itself into `news` when there is something to report."""
        super().__init__()
        self.name, self._ledger = name, ledger
        self._news, self._stirred = news, False
        self._changed: list[str] = []
        self.slowest = Slowest(name)
        self._cells = self[WHOLE].cells
        self.accepted = self._cells[record.ACCEPTED]
        self._stir()  # it is told of, even if nothing is ever accepted

    def __missing__(self, entity: str) -> Record:
        """Open an account."""

        def on_news() -> None:
            self._changed.append(entity)
            self._stir()

        self[entity] = account = Record(self._ledger.body(self.name, entity), on_news)
        return account

    def accept(self) -> None:
        """Count a request that came in."""
        self.accepted = self._cells[record.ACCEPTED] = self.accepted + 1
        if not self._stirred:
            self._stir()

    def news(self) -> dict[str, Account]:
        """The accounts that have changed, with the touched cells of their latencies. It leaves `news`."""
        changed, self._changed, self._stirred = self._changed, [], False
        return {entity: self[entity].news() for entity in changed}

    def forget(self) -> None:
        """Leave `news`: everything is about to be reported."""
        for entity in self._changed:
            self[entity].forget()
        self._changed, self._stirred = [], False

    def _stir(self) -> None:
        if not self._stirred:
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

    def noted(self, name: str) -> NotedRequests:
        """The slowest requests of an endpoint and its newest errors; none for an unknown one."""
        endpoint = self._endpoints.get(name)
        return endpoint.slowest.noted(slowest.time_of_day()) if endpoint is not None else NotedRequests()

    def parts(self) -> Iterator[dict[str, dict[str, Account]]]:
        """All accounts by endpoint, in parts of some ms each. What is touched meanwhile is news for the next report."""
        for endpoint in self._news:
            endpoint.forget()
        self._news.clear()
        part: dict[str, dict[str, Account]] = {}
        for name in dict.fromkeys([*self._ledger.endpoints, *self._left]):
            part[name] = self._accounts(name)
            if sum(map(len, part.values())) >= _IN_A_PART:
                yield part
                part = {}
        yield part

    def report(
        self, route_version: str, revisions: Mapping[RevisionId, RevisionLoad], *, whole: bool = True
    ) -> LoadReport:
        """A load report for control: of everything, or of what was touched since the last one."""
        if whole:
            return self.end(route_version, revisions, {n: own for part in self.parts() for n, own in part.items()})
        now = slowest.time_of_day()
        for endpoint in self._news:
            endpoint.slowest.tick(now)
        news = {endpoint.name: endpoint.news() for endpoint in self._news}
        accepted = {endpoint.name: endpoint.accepted for endpoint in self._news}
        self._news.clear()
        closed = self._merge(news)
        return replace(self.end(route_version, revisions, news), whole=False, accepted=accepted, closed=closed)

    def end(
        self,
        route_version: str,
        revisions: Mapping[RevisionId, RevisionLoad],
        accounts: Mapping[str, Mapping[str, Account]],
    ) -> LoadReport:
        """A whole report that has these accounts. Those of earlier parts belong to it too."""
        return LoadReport(
            gateway=self._gateway,
            pid=self._pid,
            route_version=route_version,
            ledger=self._ledger.id,
            revisions=revisions,
            accounts=accounts,
            refused=add_counts(_by_status(self._refused), self._refused_by_others),
            registry_writes=self.registry_writes,
            cold_seconds=self.cold.report(),
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
                self._endpoints[name].pop(entity, None)
            self._ledger.merge(name, entity)
            accounts.setdefault(name, {})[PAST] = self._accounts(name)[PAST]
        return tuple(due[:_MERGED_AT_ONCE])


def _by_status(refused: memoryview) -> dict[int, int]:
    return {status: count for status, count in zip(STATUSES, refused, strict=True) if count}
