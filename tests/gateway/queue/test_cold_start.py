"""Requests that come when there is no replica: held, let go at the replicas' pace, and told where their time went."""

import asyncio
import re
import time
from pathlib import Path

import pytest

from tests.gateway.house import V1, House, house, until
from tidegate.core.planes.load_report import COLD_PHASES, LoadReport
from tidegate.gateway.queue.start_times import ColdStart
from tidegate_worker.ipc import wire

STEP = re.compile(r"([\w-]+);dur=([\d.]+)")


def test_phases_add_up_to_the_total_whenever_a_request_came() -> None:
    start = ColdStart("fork", asked=10.0, forked=11.0, ready=13.0)
    assert start.phases(9.5, 13.25) == (0.5, 1.0, 2.0, 0.25, 3.75)
    assert start.phases(10.5, 13.5) == (0.0, 0.5, 2.0, 0.5, 3.0)
    assert start.phases(12.0, 14.0) == (0.0, 0.0, 1.0, 1.0, 2.0)


def a_start(asked: float, mode: str = "fork") -> dict[str, object]:
    """A start that was asked for then and is ready now."""
    now = time.monotonic()
    return {"mode": mode, "asked": asked, "forked": (asked + now) / 2, "ready": now}


async def waiting(h: House, count: int) -> list[asyncio.Task[tuple[int, dict[str, float]]]]:
    """So many requests that wait for a first replica."""

    async def score() -> tuple[int, dict[str, float]]:
        answer = await h.score()
        return answer.status_code, {
            name: float(ms) for name, ms in STEP.findall(answer.headers.get("server-timing", ""))
        }

    tasks = [asyncio.create_task(score()) for _ in range(count)]

    def all_wait() -> bool:
        return (
            bool(h.control.reports) and sum(load.queued for load in h.control.reports[-1].revisions.values()) == count
        )

    await until(all_wait)
    return tasks


async def test_a_cold_request_is_counted_and_told_its_phases(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        asked = time.monotonic() + 0.05
        tasks = await waiting(h, 3)
        h.agent.place(V1, await h.replica("aaaa0001", start=a_start(asked)))
        told = await asyncio.gather(*tasks)
        assert [status for status, _ in told] == [200] * 3
        for _, steps in told:
            parts = [steps[f"cold-{phase}"] for phase in COLD_PHASES[:-1]]
            assert sum(parts) == pytest.approx(steps["cold"], abs=0.01)
            assert steps["cold"] == pytest.approx(steps["total"], abs=0.01)
            assert steps["cold-template"] > 0
        assert "cold" not in (await h.score()).headers["server-timing"]
        report = await h.report()
    ledger = report.endpoints["wine"]
    assert (ledger.cold_starts, ledger.cold_requests, ledger.answered) == (1, 3, 4)
    assert {key: sum(histogram.counts) for key, histogram in report.cold_seconds.items()} == {
        f"fork {phase}": 1 for phase in COLD_PHASES
    }
    seconds = {key.removeprefix("fork "): histogram.sum for key, histogram in report.cold_seconds.items()}
    assert seconds.pop("total") == pytest.approx(sum(seconds.values()))


async def test_who_finds_a_replica_is_not_cold(tmp_path: Path) -> None:
    """A gateway that was restarted has no connection yet, but the replica has been there for long."""
    async with house(tmp_path) as h:
        replica = await h.replica("aaaa0001", start=a_start(time.monotonic() - 1))
        tasks = await waiting(h, 1)
        h.agent.place(V1, replica)
        assert [status for status, _ in await asyncio.gather(*tasks)] == [200]
        report = await h.report()
        assert (report.endpoints["wine"].cold_starts, report.endpoints["wine"].cold_requests) == (0, 0)
        assert report.cold_seconds == {}


async def test_counts_outlive_the_gateway(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        asked = time.monotonic()
        tasks = await waiting(h, 1)
        h.agent.place(V1, await h.replica("aaaa0001", start=a_start(asked, "spawn")))
        await asyncio.gather(*tasks)
        await h.stop_gateway()
        h.run_gateway()
        await until(h.ready)
        assert (await h.report()).endpoints["wine"].cold_starts == 1


async def test_those_that_waited_are_let_go_at_the_replicas_pace(tmp_path: Path) -> None:
    held = most = 0

    async def slow(request: wire.Request) -> wire.Answer:
        nonlocal held, most
        held += 1
        most = max(most, held)
        await asyncio.sleep(0.002)
        held -= 1
        return wire.Answer(request.id, wire.OK, 0, b"", request.body)

    async with house(tmp_path) as h:
        tasks = await waiting(h, 200)
        h.agent.place(V1, await h.replica("aaaa0001", predict=slow, credit=2, group=1))
        assert {status for status, _ in await asyncio.gather(*tasks)} == {200}
        assert most == 2


async def test_waiting_for_a_replica_takes_nothing_from_the_models_time(tmp_path: Path) -> None:
    async with house(tmp_path) as h:
        await with_timeout(h, 0.3)
        tasks = await waiting(h, 2)
        await asyncio.sleep(0.5)

        async def never(request: wire.Request) -> wire.Answer:
            await asyncio.sleep(0.1 if len(replica.seen) == 1 else 60)
            return wire.Answer(request.id, wire.OK, 0, b"", request.body)

        replica = await h.replica("aaaa0001", predict=never)
        h.agent.place(V1, replica)
        told = [status for status, _ in await asyncio.gather(*tasks)]
        assert sorted(told) == [200, 504]


async def test_what_no_replica_is_ready_for_gets_503_in_time_and_may_come_again(tmp_path: Path) -> None:
    async with house(tmp_path, answer_within_seconds=0.6) as h:
        h.agent.place(V1, message="There is no room for a replica of 'wine'.")
        answer = await h.score()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert "There is no room for a replica of 'wine'" in answer.json()["message"]


async def test_the_agent_is_told_what_is_in_use(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def gated(request: wire.Request) -> wire.Answer:
        await gate.wait()
        return wire.Answer(request.id, wire.OK, 0, b"", request.body)

    async with house(tmp_path) as h:
        h.agent.place(V1, await h.replica("aaaa0001", predict=gated))
        await h.report()
        assert h.agent.used == []
        request = asyncio.create_task(h.score())
        await until(lambda: len(h.agent.used) >= 2)  # for as long as it is under way
        gate.set()
        await request
        assert set(h.agent.used) == {V1}


async def with_timeout(h: House, seconds: float) -> None:
    h.control.publish(h.table(version="t2", timeout=seconds))

    def followed() -> bool:
        reports: list[LoadReport] = h.control.reports
        return bool(reports) and reports[-1].route_version == "t2"

    await until(followed)
