"""The link to the gateways: route tables and access tables go down, load reports come up.

The link is a Unix stream socket with newline-delimited JSON. A gateway sends a `LoadReport` once a second, and whenever
it follows another table. Control sends each table when a gateway connects and at every change, as `Published`. Nothing
waits for a gateway that does not read: it gets the newest tables when it reads again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from tidegate.control.publish.gateway_totals import Accounts, Totals, left_behind
from tidegate.control.publish.publications import Publications
from tidegate.core.access.access_table import AccessTable
from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.account import Account
from tidegate.core.planes.load_report import LoadReport
from tidegate.core.planes.published import Published
from tidegate.core.planes.route_table import RouteTable
from tidegate.core.rollout.replay import Findings, Replay, together
from tidegate.json_lines import JsonLines, Unreadable, encoded, listen
from tidegate.telemetry import fields

logger = logging.getLogger(__name__)

# A report has a few hundred bytes per endpoint and revision.
_MAX_LINE_BYTES = 64 * 1024 * 1024

# A gateway that is missing is waited for this long: then it is down, and not only between two processes.
_COMES_BACK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class GatewayStanding:
    """A connected gateway. `behind` is for how many seconds it has not followed the newest route table; 0: it does."""

    gateway: int
    pid: int
    behind: float = 0.0


class _Link:
    """One gateway's connection, and its newest report on it."""

    def __init__(self, connection: JsonLines) -> None:
        self.connection = connection
        self.report: LoadReport | None = None
        self.parts: dict[str, Mapping[str, Account]] = {}  # of a whole report that has not come to its end
        self.news = asyncio.Event()
        self.news.set()
        self.told: dict[str, bytes] = {}  # kind of table → what was sent last


class Gateways:
    """All gateways that are connected. `expected` is how many there are when all are up.

    `on_report` is called after every report. Before it, `on_news` is called with the report as it came, and with the
    whole report of the same gateway before it, of whatever process; None for its first. `on_change` is called when a
    gateway follows another table, has done a replay, or has answered its last request of a revision that the table no
    longer has.
    """

    def __init__(
        self,
        socket: Path,
        expected: int,
        on_change: Callable[[], None],
        on_report: Callable[[], None] = lambda: None,
    ) -> None:
        self.table: RouteTable | None = None
        self.expected = expected
        self.on_news: Callable[[LoadReport, LoadReport | None], None] = lambda *_: None
        self._on_change, self._on_report = on_change, on_report
        self._socket = socket
        self._links: dict[_Link, asyncio.Task[None]] = {}
        self._latest: dict[int, LoadReport] = {}  # of each gateway, by its number
        self._past = Totals()  # what gateways that were replaced have left behind
        self._server: asyncio.Server | None = None
        self.access: AccessTable | None = None
        # The newest messages by kind of table. Access is sent first: who has routes must know who may use them.
        self._encoded: dict[str, bytes] = {"access": b"", "routes": b""}
        self._news = asyncio.Event()
        self._tables, self._accesses = Publications(), Publications()
        self._awaited_until = self._routed_at = 0.0  # the event loop's time

    async def start(self) -> None:
        """Listen. A socket that an earlier process left at the path is removed."""
        self._await_gateways()
        self._server = await listen(self._socket, self._serve, _MAX_LINE_BYTES)

    async def stop(self) -> None:
        """Close every connection; the gateways go on with the table that they have."""
        if self._server is not None:
            self._server.close()
            for link in self._links:
                link.connection.abort()
            await asyncio.gather(*self._links.values(), return_exceptions=True)
            await self._server.wait_closed()

    def publish(self, table: RouteTable) -> None:
        """Have every gateway follow this table from now on."""
        if self.table is None or table.version != self.table.version:
            self.table = table
            self._tables.add(table.version)
            self._routed_at = asyncio.get_running_loop().time()
            self._send("routes", Published(routes=table))

    def publish_access(self, table: AccessTable) -> None:
        """Have every gateway know callers by this table from now on."""
        if self.access is None or table.version != self.access.version:
            self.access = table
            self._accesses.add(table.version)
            self._send("access", Published(access=table))

    def _send(self, kind: str, message: Published) -> None:
        self._encoded[kind] = encoded(message)
        self._news.set()
        for link in self._links:
            link.news.set()

    async def know_access(self, seconds: float) -> None:
        """Wait until every gateway knows callers by the current access table, or a newer one; `seconds` at the most."""
        number = self._accesses.newest
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._is_awaited() or not self._all_know(number):
                    self._news.clear()
                    await self._news.wait()

    def _all_know(self, number: int) -> bool:
        return all(
            link.report is not None and self._accesses.is_at_least(link.report.access_version, number)
            for link in self._links
        )

    async def followed(self, seconds: float, names: AbstractSet[str] = frozenset()) -> None:
        """Wait until every gateway follows the current table, or a newer one, and the table has these endpoints.

        The wait ends after `seconds` at the latest. It includes a gateway that has just gone or has not connected to
        this control yet: that gateway routes by an older table.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                number: int | None = None  # of the first table that has the endpoints
                while True:
                    if number is None and self._routes(names):
                        number = self._tables.newest
                    if number is not None and not self._is_awaited() and self._all_follow(number):
                        return
                    self._news.clear()
                    await self._news.wait()

    def _routes(self, names: AbstractSet[str]) -> bool:
        return names <= (self.table.endpoints.keys() if self.table else set())

    def _await_gateways(self) -> None:
        self._awaited_until = asyncio.get_running_loop().time() + _COMES_BACK_SECONDS

    def _is_awaited(self) -> bool:
        return not self.everyone_is_here and asyncio.get_running_loop().time() < self._awaited_until

    def _all_follow(self, number: int) -> bool:
        """Whether every connected gateway follows the table of this number, or a newer one."""
        return self.table is None or all(
            link.report is not None and self._tables.is_at_least(link.report.route_version, number)
            for link in self._links
        )

    @property
    def everyone_is_here(self) -> bool:
        """Whether as many gateways have reported as there are."""
        return len({report.gateway for report in self.reports}) >= self.expected

    def findings(self, replays: Iterable[Replay], *, waited_enough: bool) -> Mapping[str, Findings]:
        """The findings of the replays that every gateway has done, by the replay's id.

        With `waited_enough`, the findings of all replays are returned as far as they are known.
        """
        if not (self.everyone_is_here or waited_enough):
            return {}
        return together(replays, [report.findings for report in self.reports], all_of_them=not waited_enough)

    @property
    def reports(self) -> tuple[LoadReport, ...]:
        """The newest report of every connected gateway."""
        return tuple(link.report for link in self._links if link.report is not None)

    def standings(self) -> tuple[GatewayStanding, ...]:
        """The connected gateways, by number."""
        newest, since = self._tables.newest, asyncio.get_running_loop().time() - self._routed_at
        return tuple(
            GatewayStanding(
                report.gateway, report.pid, 0.0 if self._tables.is_at_least(report.route_version, newest) else since
            )
            for report in sorted(self.reports, key=lambda report: report.gateway)
        )

    @property
    def accounts(self) -> Accounts:
        """The present counters of all gateways, past ones included. No counter falls."""
        return Accounts(self._past, dict(self._latest))

    def totals(self) -> Totals:
        """The sums of `accounts`."""
        return self.accounts.totals()

    def unrouted(self, candidates: Iterable[RevisionId]) -> frozenset[RevisionId]:
        """The candidates that no gateway routes to, and that no gateway has a request of.

        There are none while a gateway is missing, has not reported or follows an older table: nothing is known then.
        """
        table = self.table
        if table is None or not self.everyone_is_here or not self._all_follow(self._tables.newest):
            return frozenset()
        busy = {rid for report in self.reports for rid in _busy(report)}
        return frozenset(rid for rid in candidates if rid not in table.revisions and rid not in busy)

    # --- connections

    async def _serve(self, connection: JsonLines) -> None:
        link, task = _Link(connection), asyncio.current_task()
        assert task is not None
        self._links[link] = task
        try:
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(self._tell(link))
                await self._listen(link)
                telling.cancel()
        except* OSError:
            logger.info("a gateway's connection broke")
        except* Unreadable as errors:
            logger.warning("a gateway's report cannot be read", extra=fields(error=errors.exceptions[0]))
        except* Exception:
            logger.exception("a gateway's connection failed; it connects again")
        finally:
            del self._links[link]
            self._await_gateways()
            self._news.set()
            connection.close()
            self._on_change()

    async def _tell(self, link: _Link) -> None:
        while True:
            await link.news.wait()
            link.news.clear()
            for kind in self._encoded:
                message = self._encoded[kind]
                if message and link.told.get(kind) is not message:
                    link.told[kind] = message
                    link.connection.send(message)
                    await link.connection.drain()

    async def _listen(self, link: _Link) -> None:
        async for report in link.connection.messages(msgspec.json.Decoder(LoadReport)):
            if report.more:
                link.parts.update(report.accounts)
            else:
                self._take(link, replace(report, accounts={**link.parts, **report.accounts}) if link.parts else report)
                link.parts = {}

    def _take(self, link: _Link, report: LoadReport) -> None:
        news, before = report, link.report
        if before is not None and not report.whole:
            report = report.onto(before)
        link.report = report
        earlier = self._latest.get(report.gateway)
        if earlier is not None and earlier.pid != report.pid:
            self._past = self._past.plus(left_behind(earlier, report))
        self._latest[report.gateway] = report
        self._news.set()
        self.on_news(news, earlier)
        self._on_report()
        if before is None or self._standing(before) != self._standing(report):
            self._on_change()

    def _standing(self, report: LoadReport) -> tuple[str, frozenset[RevisionId], frozenset[str]]:
        routed = self.table.revisions if self.table else {}
        retiring = frozenset(rid for rid in _busy(report) if rid not in routed)
        return report.route_version, retiring, frozenset(report.findings)


def _busy(report: LoadReport) -> Iterable[RevisionId]:
    return (rid for rid, load in report.revisions.items() if load.in_flight or load.queued)
