"""No task of control ends silently: each is told of and goes on after whatever it raises."""

import ast
import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tidegate
from tests.control.house import Gateway, House, an_entity, until
from tidegate.control.supervised_loop import SupervisedLoop
from tidegate.core.errors import Unavailable

DEFECTS = (RuntimeError("a defect"), asyncio.CancelledError(), KeyError("a defect"), Unavailable("It is away."))

# What each loop does in a step, as (the loop, who does it, by which method).
LOOPS = {
    "reconciler": ("reconciling", "world", "observe"),
    "plan": ("reconciling", "planner", "plan"),
    "actions": ("reconciling", "actor", "act"),
    "notices": ("reconciling", "notices", "take"),
    "follower": ("following", "follower", "run_once"),
    "housekeeping": ("sweeping", "housekeeping", "sweep"),
}


@pytest.mark.parametrize("name", LOOPS)
async def test_each_loop_goes_on_after_whatever_it_raises(
    house: House, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop, part, method = LOOPS[name]
    owner, left, calls = getattr(house.control, part), list(DEFECTS), 0
    sound: Callable[..., Any] = getattr(owner, method)

    def faulty(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if left:
            raise left.pop(0)
        return sound(*arguments, **options)

    def passed(number: int) -> bool:
        return calls > number

    monkeypatch.setattr(owner, method, faulty)
    running: SupervisedLoop = getattr(house.control, loop)
    running.start()
    for number in range(len(DEFECTS) + 2):
        await until(partial(passed, number))
        running._woken.set()
    assert not left
    told = [record for record in caplog.records if record.name == "tidegate.control.supervised_loop"]
    assert [record.levelno for record in told] == [logging.ERROR] * 3 + [logging.WARNING]
    await running.stop()


async def test_a_loop_that_is_stopped_ends_in_the_middle_of_a_step() -> None:
    begun = asyncio.Event()

    async def step() -> float:
        begun.set()
        await asyncio.sleep(60)
        return 0.0

    loop = SupervisedLoop("a step", step, 1.0)
    await loop.stop()  # it has not begun: nothing to end
    loop.start()
    await begun.wait()
    await loop.stop()
    assert loop._task is not None
    assert loop._task.cancelled()


async def test_a_defect_in_one_part_of_a_report_keeps_the_link_and_the_other_parts(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect() -> None:
        raise RuntimeError("a defect")

    await until(lambda: house.gateways.reports)
    told: list[str] = []
    monkeypatch.setattr(house.control.autoscaler, "reported", defect)
    monkeypatch.setattr(house.follower, "reported", lambda: told.append("the follower"))
    house.gateway.report()
    await until(lambda: told)
    assert {r.getMessage() for r in caplog.records} == {"a gateway's report could not be taken"}  # there may be two
    assert len(house.gateways.reports) == 1


async def test_a_defect_on_a_gateways_link_is_told_and_the_gateway_may_come_back(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await until(lambda: house.gateways.reports)
    take = house.gateways._take
    monkeypatch.setattr(house.gateways, "_take", lambda *_: 1 / 0)
    house.gateway.report()
    await until(lambda: not house.gateways.reports)
    assert "a gateway's connection failed; it connects again" in [r.getMessage() for r in caplog.records]
    monkeypatch.setattr(house.gateways, "_take", take)
    again = Gateway(house.data.planes_socket, 0, 2)
    await again.connect()
    await until(lambda: house.gateways.reports)
    await again.close()


async def test_a_preparation_that_is_cancelled_from_within_fails_with_a_sentence(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(house.builder, "make", cancelled)
    await house.create("wine", an_entity())
    await house.until(lambda: house.builds.results["failed"])
    await house.settle()
    assert "defect of Tidegate" in (await house.endpoints.get("wine")).status.message


TASKS = {
    "control/supervised_loop.py": "it supervises",
    "control/reconcile/endpoint_lanes.py": "a lane logs whatever its actions raise, and ends",
    "control/reconcile/builds.py": "a preparation that raises is a failed one",
    "control/reporting/platform_view.py": "a failed measurement of sizes is logged, and the next look makes another",
    "control/publish/gateway_links.py": "a task group: the connection's end is both tasks' end, and is logged",
}


def test_every_task_of_control_and_its_api_is_known() -> None:
    source = Path(tidegate.__file__).parent
    found = {
        file.relative_to(source).as_posix()
        for room in ("control", "api")
        for file in (source / room).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("create_task", "ensure_future", "call_soon", "call_later")
    }
    assert found == set(TASKS)
