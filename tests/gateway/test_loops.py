"""No loop of a gateway ends by an exception that nobody expected: each is made to raise, and goes on."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.house import V1, V2, House, house, until
from tidegate import supervised as supervision
from tidegate.core.rollout.replay import Replay
from tidegate.gateway.http import asgi
from tidegate.gateway.http.client_connection import Connection
from tidegate.gateway.metering.meter import Meter
from tidegate.gateway.queue.lane import Lane
from tidegate.gateway.queue.revision_queue import RevisionQueue
from tidegate.gateway.queue.router import Router
from tidegate.gateway.replay.recordings import Recordings


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(supervision, "LONGEST_PAUSE_SECONDS", 0.02)


Fail = Callable[[type, str], list[str]]


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """`fail(owner, method)`: from now on the method's next call raises. The list gets its name when that was."""

    def arrange(owner: type, method: str) -> list[str]:
        raised: list[str] = []
        real = getattr(owner, method)

        def once(*args: Any, **options: Any) -> Any:
            if not raised:
                raised.append(method)
                raise ZeroDivisionError("a defect")
            return real(*args, **options)

        monkeypatch.setattr(owner, method, once)
        return raised

    return arrange


async def publish(h: House, version: str, timeout: float = 60) -> None:
    h.control.publish(h.table(version=version, timeout=timeout))
    await until(lambda: h.control.reports and h.control.reports[-1].route_version == version)


async def test_the_sweep_goes_on_and_sees_to_deadlines(tmp_path: Path, fail: Fail) -> None:
    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001", predict=_never)
        h.agent.place(V1, replica)
        await publish(h, "t2", timeout=0.5)
        raised = fail(RevisionQueue, "sweep")
        answer = await h.score()
        assert raised
        assert answer.status_code == 504


async def _never(_request: object) -> None:
    await asyncio.Event().wait()


async def test_a_queue_whose_sweep_fails_for_ever_does_not_keep_others_from_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[str] = []

    def sweep(queue: RevisionQueue, _now: float) -> None:
        swept.append(queue.route.revision)
        if queue.route.revision == V1:
            raise ZeroDivisionError("a defect")

    async with house(tmp_path) as h:
        h.control.publish(h.table((V1, 50), (V2, 50), version="t2"))
        await until(lambda: h.control.reports and h.control.reports[-1].route_version == "t2")
        monkeypatch.setattr(RevisionQueue, "sweep", sweep)
        waiting = [asyncio.create_task(h.score()) for _ in range(20)]  # of both
        await until(lambda: swept.count(V1) > 3 and swept.count(V2) > 3)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_connection_whose_check_fails_is_closed_and_the_limits_of_others_hold(
    tmp_path: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "CHECK_SECONDS", 0.05)
    async with house(tmp_path, header_timeout_seconds=0.2) as h:
        await h.client.aclose()
        raised = fail(Connection, "check")
        host, port = h.listener.getsockname()
        readers = [(await asyncio.open_connection(host, port)) for _ in range(2)]
        async with asyncio.timeout(5):
            for reader, writer in readers:
                with_error = await asyncio.gather(reader.read(), return_exceptions=True)
                assert len(with_error) == 1
                writer.close()
        assert raised


async def test_the_link_to_control_follows_a_table_that_failed_at_its_second_try(tmp_path: Path, fail: Fail) -> None:
    async with house(tmp_path) as h:
        raised = fail(Router, "follow")
        await publish(h, "t2")
        assert raised


async def test_a_table_that_was_adopted_by_half_is_adopted_whole_when_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[RevisionQueue] = []
    real = RevisionQueue.__init__

    def make(queue: RevisionQueue, *args: Any, **options: Any) -> None:
        made.append(queue)
        if len(made) == 1:
            raise ZeroDivisionError("a defect")
        real(queue, *args, **options)

    async with house(tmp_path) as h:
        monkeypatch.setattr(RevisionQueue, "__init__", make)
        h.control.publish(h.table((V2, 100), version="t2"))
        await until(lambda: h.control.reports and h.control.reports[-1].route_version == "t2")
        h.agent.place(V2, await h.replica("aaaa0001"))
        assert (await h.score()).status_code == 200
        assert len(made) == 2


async def test_load_reports_go_on(tmp_path: Path, fail: Fail) -> None:
    async with house(tmp_path) as h:
        raised = fail(Meter, "report")
        await until(lambda: bool(raised))
        await h.report()
        await publish(h, "t2")


async def test_replicas_are_heard_of_after_one_that_could_not_be_followed(tmp_path: Path, fail: Fail) -> None:
    async with house(tmp_path) as h:
        raised = fail(RevisionQueue, "located")
        replica = await h.replica("aaaa0001")
        h.agent.place(V1)
        await until(lambda: bool(raised))
        h.agent.place(V1, replica)
        assert (await h.score()).status_code == 200
        assert h.agent.asked.count(("watch", V1)) == 1  # by the same connection


async def test_a_replica_that_could_not_be_reached_by_a_defect_is_reached_at_last(tmp_path: Path, fail: Fail) -> None:
    async with house(tmp_path) as h:
        raised = fail(Lane, "connect")
        h.agent.place(V1, await h.replica("aaaa0001"))
        assert (await h.score()).status_code == 200
        assert raised


async def test_a_replay_that_fails_before_it_begins_is_reported(tmp_path: Path, fail: Fail) -> None:
    async with house(tmp_path) as h:
        raised = fail(Recordings, "newest")
        h.control.publish(replace(h.table(version="t2"), replays=(Replay("r1", "wine", V2, V1, 1.0),)))
        await until(lambda: h.control.reports and "r1" in h.control.reports[-1].findings)
        assert raised
        assert "defect" in h.control.reports[-1].findings["r1"].unavailable
