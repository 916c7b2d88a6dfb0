"""The ledger: what is counted outlives the process, and nothing is counted twice."""

import asyncio
import contextlib
import logging
import os
from pathlib import Path

import httpx
import pytest

from tests.fakes.replica import FakeReplica
from tests.gateway.gateway_process import GatewayProcess, listener
from tests.gateway.house import TOKEN, V1, FakeAgent, until
from tidegate import http
from tidegate.control.publish.gateway_links import Gateways
from tidegate.core.planes.account import Account
from tidegate.core.planes.load_report import STATUSES
from tidegate.core.series.series_point import WHOLE
from tidegate.data_directory import DataDirectory
from tidegate.gateway.metering import ledger, record
from tidegate.gateway.metering.ledger import Ledger, left_by_others
from tidegate.gateway.metering.meter import Meter
from tidegate_worker.ipc import wire

V = "wine-1"
STEPS = (b"", 0.0001, 0.0002, 0.0004, 0.0001, 0.25)


def book(path: Path) -> Meter:
    """A gateway's meter, on the ledger at this path."""
    return Meter(0, 1, Ledger(path))


def account(meter: Meter, endpoint: str = "wine") -> Account:
    """What is reported of an endpoint."""
    return meter.report("", {}).endpoints[endpoint]


def test_every_status_of_an_error_is_counted() -> None:
    assert {status for status, _ in http.STATUS.values()} <= set(STATUSES)


def test_an_account_is_what_was_done(tmp_path: Path) -> None:
    meter = book(tmp_path / "0.bin")
    wine = meter.endpoint("wine")
    for _ in range(6):
        wine.accept()
    wine[V].answer_ok(0.002, 0.0005, STEPS, 100, 20)
    wine[V].answer(400, 0.2, 50)
    wine[V].reject(429, 0.0001)
    wine[WHOLE].time_out(504, 61.0)
    wine[V].leave()
    meter.refuse(404)
    told = account(meter)
    assert (told.accepted, told.answered, told.rejected, told.timed_out, told.client_gone) == (6, 2, 1, 1, 1)
    assert (told.in_flight, told.lost) == (1, 0)
    assert told.statuses == {200: 1, 400: 1, 429: 1, 504: 1}
    assert [n for n, count in enumerate(told.latency_counts) if count] == [0, 2, 8, 16]
    assert told.latency_sum == pytest.approx(61.2021)
    assert (told.request_bytes, told.response_bytes) == (150, 20)
    assert meter.report("", {}).refused == {404: 1}


def test_a_successor_goes_on_and_closes_what_was_in_flight(tmp_path: Path) -> None:
    path = tmp_path / "0.bin"
    first = book(path)
    for _ in range(3):
        first.endpoint("wine").accept()
    first.endpoint("wine")[V].answer_ok(0.1, 0.0, STEPS, 1, 1)
    first.refuse(401)
    second = book(path)
    told = account(second)
    assert (told.accepted, told.answered, told.lost, told.in_flight) == (3, 1, 2, 0)
    second.endpoint("wine").accept()
    told = account(book(path))
    assert (told.accepted, told.answered, told.lost, told.in_flight) == (4, 1, 3, 0)
    assert second.report("", {}).refused == {401: 1}
    assert first.report("", {}).ledger == second.report("", {}).ledger != ""


def test_it_grows_with_the_endpoints(tmp_path: Path) -> None:
    path = tmp_path / "0.bin"
    names = [f"endpoint-{n}".ljust(63, "x") for n in range(300)]
    meter = book(path)
    accounts = [meter.endpoint(name) for name in names]
    for n, each in enumerate(accounts):
        for _ in range(n % 3):
            each.accept()
            each[V].leave()
    told = book(path).report("", {}).endpoints
    assert {name: told[name].accepted for name in names} == {name: n % 3 for n, name in enumerate(names)}
    assert path.stat().st_size == -(-501 // 32) * ledger.SEGMENT_BYTES  # with the head, and a third of them not asked


def broken(path: Path, what: str) -> None:
    """Spoil a good ledger."""
    whole = bytearray(path.read_bytes())
    size = ledger.RECORD_BYTES
    if what == "empty":
        whole = bytearray()
    elif what == "cut":
        whole = whole[:1000]
    elif what == "foreign":
        whole = bytearray(b"PK\x03\x04" * (ledger.SEGMENT_BYTES // 4))
    elif what == "version":
        whole[8] += 1
    elif what == "twice":
        whole[2 * size : 3 * size] = whole[size : 2 * size]
    elif what == "sums":
        whole[size + 336 + 8 * record.CLIENT_GONE] = 9
    path.unlink()  # who still has it mapped keeps what it had
    path.write_bytes(whole)


@pytest.mark.parametrize("what", ["empty", "cut", "foreign", "version", "twice", "sums"])
def test_what_cannot_be_read_is_set_aside(tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "0.bin"
    first = book(path)
    first.endpoint("wine").accept()
    broken(path, what)
    spoilt = path.read_bytes()
    with caplog.at_level(logging.WARNING):
        second = book(path)
    assert "cannot be read" in caplog.text
    assert (tmp_path / "0.unreadable").read_bytes() == spoilt
    assert second.report("", {}).endpoints == {}
    assert second.report("", {}).ledger != first.report("", {}).ledger
    second.endpoint("beer").accept()
    assert account(book(path), "beer").lost == 1


def test_a_full_disk_refuses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    meter = book(tmp_path / "0.bin")
    monkeypatch.setattr(os, "posix_fallocate", full)
    for n in range(200):
        meter.endpoint(f"endpoint-{n}").accept()
    assert all(told.accepted == 1 for told in meter.report("", {}).endpoints.values())
    assert "counted in memory" in caplog.text
    nowhere = book(tmp_path / "absent" / "0.bin")
    nowhere.endpoint("wine").accept()
    assert account(nowhere).in_flight == 1
    monkeypatch.undo()
    assert account(book(tmp_path / "0.bin"), "endpoint-0").lost == 1


def test_the_first_gateway_reports_for_those_that_are_not_started_any_more(tmp_path: Path) -> None:
    for number in range(3):
        meter = book(tmp_path / f"{number}.bin")
        meter.endpoint("wine").accept()
        meter.endpoint("wine")[V].answer_ok(0.1, 0.0, STEPS, 1, 1)
        meter.refuse(404)
    first = Ledger(tmp_path / "0.bin")
    report = Meter(0, 1, first, list(left_by_others(tmp_path / "0.bin", 1))).report("", {})
    assert (report.endpoints["wine"].accepted, report.endpoints["wine"].answered) == (3, 3)
    assert report.refused == {404: 3}
    assert not list(left_by_others(tmp_path / "0.bin", 3))


class Clients:
    """Callers that score again and again, and count what came back."""

    def __init__(self, url: str) -> None:
        self.answers: dict[int, int] = {}
        self.broken = 0
        self._url = url
        self._going = True
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, count: int) -> None:
        self._tasks = [asyncio.create_task(self._score()) for _ in range(count)]

    async def stop(self) -> None:
        self._going = False
        await asyncio.gather(*self._tasks)

    async def _score(self) -> None:
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}, timeout=30) as client:
            while self._going:
                try:
                    answer = await client.post(self._url, content=b"[1]")
                    self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
                except httpx.HTTPError:
                    self.broken += 1
                    await asyncio.sleep(0.05)


async def slowly(request: wire.Request) -> wire.Answer:
    """An answer after a moment, so that something is always under way."""
    await asyncio.sleep(0.01)
    return wire.Answer(request.id, wire.OK, 0, b"", b"[1]")


@contextlib.asynccontextmanager
async def control(data: DataDirectory):  # type: ignore[no-untyped-def]
    """Control's end of the link, for as long as a `with`."""
    gateways = Gateways(data.planes_socket, 1, lambda: None)
    await gateways.start()
    try:
        yield gateways
    finally:
        await gateways.stop()


async def test_kill_9_under_load_leaves_the_ledger_exact(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    data.create()
    agent, replica = FakeAgent(data.agent_socket), FakeReplica(data.run, "aaaa0001", slowly, credit=4, group=4)
    await agent.start()
    await replica.start()
    agent.place(V1, replica)
    listening = listener()
    gateway = GatewayProcess(data, V1, listening)
    clients = Clients(gateway.url)
    try:
        gateway.start()
        async with control(data) as gateways:
            clients.start(12)
            for kill in range(3):
                enough = 100 * (kill + 1)
                await until(lambda enough=enough: clients.answers.get(200, 0) >= enough, 30)
                gateway.kill()
                gateway.start()
            await clients.stop()
            told = await settled(gateways, clients)
        async with control(data) as restarted:  # control, restarted, finds the same
            assert await settled(restarted, clients) == told
    finally:
        gateway.stop()
        listening.close()
        await replica.stop()
        await agent.stop()
    ended = told.answered + told.rejected + told.timed_out + told.client_gone + told.lost
    assert told.accepted == ended
    assert told.in_flight == 0
    assert told.lost >= 3  # each kill hit something
    assert told.lost <= clients.broken
    # A kill may fall between an answer's account and its last byte, never the other way round.
    assert clients.answers[200] <= told.answered <= clients.answers[200] + clients.broken
    assert told.accepted <= sum(clients.answers.values()) + clients.broken
    assert set(clients.answers) == {200}


async def settled(gateways: Gateways, clients: Clients) -> Account:
    """The endpoint's account once nothing is under way."""

    def quiet() -> bool:
        wine = gateways.totals().endpoints.get("wine", Account())
        return wine.answered >= clients.answers[200] and not wine.in_flight

    await until(quiet, 20)
    return gateways.totals().endpoints["wine"]
