"""A loop that fails goes on, and ends only by its return or its task's cancellation."""

import asyncio
import logging

import pytest

from tidegate import supervised as supervision
from tidegate.supervised import Defects, attempted, supervised


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(supervision, "LONGEST_PAUSE_SECONDS", 0.002)


async def test_a_loop_that_raises_is_logged_with_its_traceback_and_run_again(caplog: pytest.LogCaptureFixture) -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs < 5:
            raise KeyError("unforeseen")

    with caplog.at_level(logging.ERROR):
        await supervised(run, "a test")
    assert runs == 5
    told = [record for record in caplog.records if record.exc_info]
    assert len(told) == 4
    assert told[0].__dict__["fields"] == {"loop": "a test"}


async def test_a_cancellation_ends_it_wherever_it_is() -> None:
    ran = asyncio.Event()

    async def run() -> None:
        ran.set()
        await asyncio.Event().wait()

    async def fail() -> None:
        ran.set()
        raise OSError

    for loop in (run, fail):
        ran.clear()
        task = asyncio.create_task(supervised(loop, "a test"))
        await ran.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_cancellation_of_a_task_that_it_awaits_is_a_failure_and_no_end() -> None:
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            other = asyncio.create_task(asyncio.sleep(60))
            asyncio.get_running_loop().call_soon(other.cancel)
            await other

    await supervised(run, "a test")
    assert runs == 2


async def test_a_task_that_fails_is_logged_and_ends_no_sibling(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(error: BaseException) -> None:
        raise error

    async with asyncio.TaskGroup() as tasks:
        for error in (KeyError("unforeseen"), asyncio.CancelledError()):
            tasks.create_task(attempted(fail(error), "a test"))
        sibling = tasks.create_task(asyncio.sleep(0.01, "done"))
    assert sibling.result() == "done"
    assert [record.getMessage() for record in caplog.records if record.exc_info] == ["a task failed by a defect"] * 2


async def test_a_task_that_is_cancelled_ends() -> None:
    task = asyncio.create_task(attempted(asyncio.sleep(60), "a test"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_step_that_fails_keeps_no_other_from_its_turn() -> None:
    done = []
    with pytest.raises(ExceptionGroup, match="steps") as raised, Defects("steps") as defects:
        for number in range(4):
            with defects.collected():
                done.append(number)
                if number % 2:
                    raise KeyError(number)
    assert done == [0, 1, 2, 3]
    assert [error.args for error in raised.value.exceptions] == [(1,), (3,)]
