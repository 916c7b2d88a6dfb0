"""The link to the gateways, over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.control.house import Gateway, until
from tests.core.examples import a_config, a_created_endpoint, an_entity
from tests.fakes.clock import FakeClock
from tidegate.control.publish import gateway_links as module
from tidegate.control.publish.gateway_links import Gateways
from tidegate.control.publish.route_publisher import Publisher
from tidegate.core.access.access_table import Grant, access_table
from tidegate.core.endpoint.revision import RevisionId
from tidegate.core.planes.account import Account
from tidegate.core.planes.latency_cells import LATENCY_CELLS
from tidegate.core.planes.load_report import LoadReport, RevisionLoad
from tidegate.core.planes.route_table import EndpointRoute, RevisionRoute, RouteTable
from tidegate.core.rollout.gate import GateDefaults
from tidegate.core.rollout.replay import Findings, Replay
from tidegate.core.series.series_point import WHOLE

UPDATING = a_created_endpoint().promoted(1.0).with_update(a_config(an_entity("wine-2", version="2"), version=2), 2.0)
OLD, NEW = RevisionId("a" * 16), RevisionId("b" * 16)


def a_table(version: str, revision: RevisionId = NEW) -> RouteTable:
    route = RevisionRoute(revision, "wine", "wine-1", "/agent", 60.0, True)
    return RouteTable(version, revisions={revision: route})


class Link:
    """Control's end, with two gateways expected, and how often it called back."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "planes.sock"
        self.changes = 0
        self.gateways = Gateways(self.socket, 2, self._changed)

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
async def link(tmp_path: Path) -> AsyncIterator[Link]:
    link = Link(tmp_path)
    await link.gateways.start()
    yield link
    await link.gateways.stop()


async def two_gateways(link: Link) -> tuple[Gateway, Gateway]:
    first, second = Gateway(link.socket, 0, 10), Gateway(link.socket, 1, 11)
    await first.connect()
    await second.connect()
    await until(lambda: len(link.gateways.reports) == 2)
    return first, second


async def test_a_table_reaches_every_gateway_and_a_late_one_too(link: Link) -> None:
    first, second = await two_gateways(link)
    link.gateways.publish(a_table("1"))
    await until(lambda: first.tables and second.tables)
    third = Gateway(link.socket, 2, 12)
    await third.connect()
    await until(lambda: third.tables)
    assert first.tables == second.tables == third.tables == [a_table("1")]
    for gateway in (first, second, third):
        await gateway.close()


async def test_the_same_table_is_not_sent_twice(link: Link) -> None:
    first, second = await two_gateways(link)
    for version in ("1", "1", "2"):
        link.gateways.publish(a_table(version))
        await asyncio.sleep(0.02)
    assert [table.version for table in first.tables] == ["1", "2"]
    await first.close()
    await second.close()


async def test_access_is_published_by_itself_and_before_routes(link: Link) -> None:
    first, second = await two_gateways(link)
    link.gateways.publish(a_table("1"))
    for sessions in ({}, {}, {"s": Grant("admin", 9.0)}):
        link.gateways.publish_access(access_table({"t": "admin"}, sessions))
        await asyncio.sleep(0.02)
    third = Gateway(link.socket, 2, 12)
    await third.connect()
    await until(lambda: third.tables)
    assert [len(gateway.accesses) for gateway in (first, second, third)] == [2, 2, 1]
    assert [len(gateway.tables) for gateway in (first, second, third)] == [1, 1, 1]
    assert third.accesses[-1] == first.accesses[-1] == link.gateways.access
    assert third.order == ["access", "routes"]
    for gateway in (first, second, third):
        await gateway.close()


async def test_whoever_waits_until_access_is_known_waits_for_every_gateway(link: Link) -> None:
    first, second = await two_gateways(link)
    second.stubborn = True
    link.gateways.publish_access(access_table({}, {}))
    waiting = asyncio.create_task(link.gateways.know_access(10))
    await until(lambda: first.accesses and second.accesses)
    await asyncio.sleep(0.02)
    assert not waiting.done()
    link.gateways.publish_access(access_table({}, {"s": Grant("admin", 9.0)}))
    await until(lambda: len(second.accesses) == 2)
    second.follow()  # a newer one does as well
    await asyncio.wait_for(waiting, 5)
    second.stubborn = True
    link.gateways.publish_access(access_table({}, {}))
    await asyncio.wait_for(link.gateways.know_access(0.02), 5)
    await first.close()
    await second.close()


async def test_unrouted_needs_everyone(link: Link) -> None:
    gateways = link.gateways
    assert gateways.unrouted({OLD}) == frozenset()  # no table yet
    gateways.publish(a_table("2"))
    first = Gateway(link.socket, 0, 10)
    await first.connect()
    await until(lambda: gateways.reports and gateways.reports[0].route_version == "2")
    assert gateways.unrouted({OLD}) == frozenset()  # one of two gateways is missing
    second = Gateway(link.socket, 1, 11)
    second.stubborn = True
    await second.connect()
    await until(lambda: second.tables and len(gateways.reports) == 2)
    assert gateways.unrouted({OLD}) == frozenset()  # it follows another table
    second.revisions[OLD] = RevisionLoad(queued=1)
    second.follow()
    await until(lambda: any(report.revisions for report in gateways.reports))
    assert gateways.unrouted({OLD}) == frozenset()  # a request waits
    second.revisions[OLD] = RevisionLoad(busy_seconds=3.0)
    before = link.changes
    second.report()
    await until(lambda: gateways.unrouted({OLD, NEW}) == {OLD})
    assert link.changes == before + 1
    second.report()
    await asyncio.sleep(0.02)
    assert link.changes == before + 1  # nothing new, nobody woken
    await first.close()
    await second.close()


async def first_of_two(link: Link) -> None:
    """A gateway that has reported, and has ended with two requests in flight."""
    first = Gateway(link.socket, 0, 10)
    first.endpoints["wine"] = Account(accepted=7, answered=5, statuses={200: 5}, cells={LATENCY_CELLS - 1: 5})
    first.revisions[NEW] = RevisionLoad(in_flight=2, busy_seconds=3.0, reruns=1)
    first.refused[401] = 3
    await first.connect()
    await until(lambda: link.gateways.totals().refused == {401: 3})
    await first.close()
    await until(lambda: not link.gateways.reports)
    assert link.gateways.totals().endpoints["wine"].accepted == 7


async def test_a_successor_goes_on_with_the_ledger_and_nothing_counts_twice(link: Link) -> None:
    await first_of_two(link)
    successor = Gateway(link.socket, 0, 99)
    successor.endpoints["wine"] = Account(
        accepted=8, answered=6, lost=2, statuses={200: 6}, cells={0: 1, LATENCY_CELLS - 1: 5}
    )
    successor.revisions[NEW] = RevisionLoad(busy_seconds=0.5)
    successor.refused[401] = 4
    await successor.connect()
    await until(lambda: link.gateways.totals().refused == {401: 4})
    totals = link.gateways.totals()
    assert totals.endpoints["wine"] == successor.endpoints["wine"]
    assert totals.revisions[NEW] == RevisionLoad(busy_seconds=3.5, reruns=1)  # counted by the processes
    await successor.close()


async def test_a_successor_whose_ledger_was_lost_takes_no_counts_away(link: Link) -> None:
    await first_of_two(link)
    successor = Gateway(link.socket, 0, 99)
    successor.ledger = "another"
    successor.endpoints["wine"] = Account(accepted=1, answered=1, statuses={200: 1}, cells={0: 1})
    await successor.connect()
    await until(lambda: link.gateways.totals().endpoints["wine"].accepted == 8)
    total = link.gateways.totals().endpoints["wine"]
    assert (total.answered, total.lost, total.in_flight) == (6, 2, 0)
    assert total.statuses == {200: 6}
    assert total.cells == {0: 1, LATENCY_CELLS - 1: 5}
    assert link.gateways.totals().refused == {401: 3}
    await successor.close()


async def test_control_restarted_finds_the_same_gateway_with_the_same_counts(link: Link) -> None:
    first = Gateway(link.socket, 0, 10)
    first.endpoints["wine"] = Account(accepted=7)
    for _ in range(2):
        await first.connect()
        await until(lambda: link.gateways.reports)
        await first.close()
        await until(lambda: not link.gateways.reports)
    assert link.gateways.totals().endpoints["wine"].accepted == 7


async def test_nonsense_on_the_link_ends_that_connection_only(link: Link) -> None:
    first, second = await two_gateways(link)
    reader, writer = await asyncio.open_unix_connection(link.socket)
    writer.write(b"nonsense\n")
    assert await reader.read() == b""
    writer.close()
    link.gateways.publish(a_table("1"))
    await until(lambda: first.tables and second.tables)
    await first.close()
    await second.close()


async def test_what_an_earlier_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "planes.sock"
    path.touch()
    gateways = Gateways(path, 1, lambda: None)
    await gateways.start()
    gateway = Gateway(path)
    await gateway.connect()
    await until(lambda: gateways.reports)
    await gateway.close()
    await gateways.stop()


async def test_several_gateways_hold_an_endpoint_before_any_of_them_switches(link: Link) -> None:
    gateways = await two_gateways(link)
    publisher = Publisher(link.gateways, "/agent", GateDefaults(), FakeClock())
    switched = UPDATING.let_through(3.0)
    publisher.publish((UPDATING,))
    publisher.publish((switched,))
    await publisher.switch(switched, 5.0)
    for gateway in gateways:
        assert [table.held for table in gateway.tables[-2:]] == [("wine",), ()]
        assert [list(table.endpoints["wine"].served) for table in gateway.tables[-2:]] == [["wine-2"], ["wine-2"]]
    published = [len(gateway.tables) for gateway in gateways]
    publisher.publish((replace(switched, tags=(("a", "b"),)),))  # what all know already is not held again
    publisher.publish((switched.routed,))
    again = switched.routed.rolled_back(4.0).let_through(5.0)
    await link.gateways.followed(5.0)
    assert [len(gateway.tables) for gateway in gateways] == published
    publisher.publish((again,))
    await link.gateways.followed(5.0)
    assert [gateway.tables[-1].held for gateway in gateways] == [("wine",), ("wine",)]
    for gateway in gateways:
        await gateway.close()


async def test_a_table_is_waited_for_that_has_an_endpoint(link: Link) -> None:
    gateways = await two_gateways(link)
    publisher = Publisher(link.gateways, "/agent", GateDefaults(), FakeClock())
    publisher.publish(())
    await link.gateways.followed(5.0)
    waiting = asyncio.create_task(link.gateways.followed(5.0, {"wine"}))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    publisher.publish((UPDATING,))
    await waiting
    assert ["wine" in gateway.tables[-1].endpoints for gateway in gateways] == [True, True]
    for gateway in gateways:
        await gateway.close()


async def test_one_gateway_holds_nothing(tmp_path: Path) -> None:
    gateways = Gateways(tmp_path / "planes.sock", 1, lambda: None)
    publisher = Publisher(gateways, "/agent", GateDefaults(), FakeClock())
    publisher.publish((UPDATING.let_through(3.0),))
    assert gateways.table is not None
    assert gateways.table.held == ()


async def test_a_gateway_that_has_not_come_yet_is_waited_for_and_not_for_good(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Gateway(link.socket, 0, 10)
    await first.connect()
    link.gateways.publish(a_table("1"))
    followed = asyncio.create_task(link.gateways.followed(5.0))
    await until(lambda: first.tables and link.gateways.reports[0].route_version == "1")
    assert not followed.done()
    second = Gateway(link.socket, 1, 11)
    await second.connect()
    await followed
    await first.close()
    await until(lambda: len(link.gateways.reports) == 1)
    followed = asyncio.create_task(link.gateways.followed(60.0))
    await asyncio.sleep(0.01)
    assert not followed.done()
    await first.connect()
    await followed
    monkeypatch.setattr(module, "_COMES_BACK_SECONDS", 0.0)
    await second.close()
    await until(lambda: len(link.gateways.reports) == 1)
    await link.gateways.followed(60.0)
    await first.close()


async def test_a_replay_that_is_done_wakes_control_once(link: Link) -> None:
    first, second = await two_gateways(link)
    replay = Replay("r1", "wine", NEW, OLD, 0.5)
    link.gateways.publish(replace(a_table("1"), replays=(replay,)))
    await until(lambda: link.gateways.findings([replay], waited_enough=False))
    assert link.gateways.findings([replay], waited_enough=False) == {"r1": Findings("r1")}
    before = link.changes
    first.report()
    await asyncio.sleep(0.02)
    assert link.changes == before
    first.finds = lambda replay: None
    first.report()
    await until(lambda: link.changes == before + 1)
    assert link.gateways.findings([replay], waited_enough=False) == {}
    await first.close()
    await until(lambda: len(link.gateways.reports) == 1)
    assert link.gateways.findings([replay], waited_enough=False) == {}  # one is missing
    assert link.gateways.findings([replay], waited_enough=True) == {"r1": Findings("r1")}
    await second.close()


async def test_a_table_counts_as_followed_while_newer_ones_come(link: Link) -> None:
    """Twenty switches at once publish a table each: none of them waits for the tables of the others."""
    first, second = await two_gateways(link)
    link.gateways.publish(a_table("1"))
    await until(lambda: all(report.route_version == "1" for report in link.gateways.reports))
    second.stubborn = True
    followed = asyncio.create_task(link.gateways.followed(5.0))
    link.gateways.publish(a_table("2"))
    await followed  # of the first table
    behind = asyncio.create_task(link.gateways.followed(5.0))
    link.gateways.publish(a_table("3"))
    await until(lambda: second.tables[-1].version == "3")
    assert not behind.done()
    second.follow()  # the third is newer than the second
    await behind
    link.gateways.publish(a_table("1"))  # the same as the first, and newer than the third
    await until(lambda: first.tables[-1].version == "1")
    second.follow()
    await link.gateways.followed(5.0)
    await first.close()
    await second.close()


async def test_endpoints_are_waited_for_until_a_table_has_them_and_is_followed(link: Link) -> None:
    first, second = await two_gateways(link)
    link.gateways.publish(a_table("1"))
    await until(lambda: all(report.route_version == "1" for report in link.gateways.reports))
    second.stubborn = True
    waiting = asyncio.create_task(link.gateways.followed(5.0, {"wine"}))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    link.gateways.publish(replace(a_table("2"), endpoints={"wine": EndpointRoute("wine")}))
    await until(lambda: first.tables[-1].version == "2")
    await asyncio.sleep(0.01)
    assert not waiting.done()  # the second gateway follows the first table
    second.follow()
    await waiting
    await first.close()
    await second.close()


async def test_a_whole_report_in_parts_is_taken_at_its_end(link: Link) -> None:
    _, writer = await asyncio.open_unix_connection(link.socket)
    heard: list[tuple[LoadReport, LoadReport | None]] = []
    link.gateways.on_news = lambda news, before: heard.append((news, before))
    wine, tea = {WHOLE: Account(3)}, {WHOLE: Account(4)}
    end = LoadReport(0, 10, "t", accounts={"tea": tea}, refused={401: 1})
    for report in (LoadReport(0, 10, "", accounts={"wine": wine}, more=True), end):
        assert not link.gateways.reports
        writer.write(msgspec.json.encode(report) + b"\n")
        await asyncio.sleep(0.02)
    await until(lambda: link.gateways.reports)
    assert link.gateways.reports[0].accounts == {"wine": wine, "tea": tea}
    later = replace(end, accounts={"tea": {}}, accepted={"tea": 5}, whole=False)
    writer.write(msgspec.json.encode(later) + b"\n")
    await until(lambda: link.gateways.totals().endpoints["tea"].accepted == 5)
    assert [before for _, before in heard] == [None, heard[0][0]]
    assert heard[1][0] == later
    assert link.gateways.totals().endpoints["wine"].accepted == 3
    writer.close()
