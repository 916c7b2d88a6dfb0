"""However many ask at once, few processes of MLflow run. A small program stands for MLflow here."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tidegate.adapters.mlflow import client_pool
from tidegate.adapters.mlflow.client_pool import MAX_QUESTIONS, MlflowProcesses
from tidegate.core.errors import Unavailable

# Answers each line with its process id; `hang` is not answered.
PROGRAM = """
import json, os, sys
for line in sys.stdin:
    if json.loads(line).get("verb") == "hang":
        continue
    print(json.dumps({"result": os.getpid()}), flush=True)
"""


@pytest.fixture
async def started(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Process]]:
    """The processes that were started."""
    found: list[Process] = []

    async def start(*_: object) -> Process:
        found.append(await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", PROGRAM, stdin=PIPE, stdout=PIPE))
        return found[-1]

    monkeypatch.setattr(client_pool, "_start", start)
    yield found
    for process in found:
        if process.returncode is None:
            await client_pool._end(process)


def running(started: list[Process]) -> int:
    return sum(process.returncode is None for process in started)


async def test_fifty_questions_at_once_have_four_processes(started: list[Process]) -> None:
    pool = MlflowProcesses("http://registry", "", ())
    answers = await asyncio.gather(*(pool.ask({"verb": "resolve"}, 30.0) for _ in range(50)))
    assert len(started) == MAX_QUESTIONS == 4
    assert {answer["result"] for answer in answers} <= {process.pid for process in started}
    assert running(started) == 1  # kept for the next question
    await pool.ask({"verb": "resolve"}, 30.0)
    assert len(started) == MAX_QUESTIONS
    await pool.close()
    assert running(started) == 0


async def test_a_question_without_an_answer_gives_its_turn_to_the_next(started: list[Process]) -> None:
    pool = MlflowProcesses("http://registry", "", ())
    hung = [asyncio.create_task(pool.ask({"verb": "hang"}, 0.2)) for _ in range(MAX_QUESTIONS)]
    await asyncio.sleep(0)
    assert "result" in await pool.ask({"verb": "resolve"}, 30.0)
    assert all(isinstance(one, TimeoutError) for one in await asyncio.gather(*hung, return_exceptions=True))
    assert running(started) == 1
    await pool.close()


async def test_who_waits_too_long_for_a_turn_is_told(started: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_pool, "_TURN_SECONDS", 0.05)
    pool = MlflowProcesses("http://registry", "", ())
    hung = [asyncio.create_task(pool.ask({"verb": "hang"}, 60.0)) for _ in range(MAX_QUESTIONS)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="4 other questions have been waiting"):
        await pool.ask({"verb": "resolve"}, 30.0)
    lines: list[Any] = []
    assert "result" in await pool.download({"verb": "download"}, lines.append)  # has a process of its own
    for one in hung:
        one.cancel()
    await asyncio.wait(hung)
    await pool.close()
    assert running(started) == 0
