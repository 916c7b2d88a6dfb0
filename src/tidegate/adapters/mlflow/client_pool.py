"""The child processes in which MLflow runs: few, since each has 100 MB and takes seconds to start.

A process is started when it is first needed, and one is kept for the next question.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from tidegate.core import errors
from tidegate.ports import Log

# How many questions are asked at the same time. Each takes 10 to 50 ms of a registry that answers.
MAX_QUESTIONS = 4
# How long a question waits for its turn, seconds. Longer means that the registry answers nobody.
_TURN_SECONDS = 5.0
_START_SECONDS = 60.0  # for MLflow's import, on a busy machine without bytecode
_MAX_ANSWER_MB = 64  # some two million versions


class MlflowProcesses:
    """Asks MLflow. At most MAX_QUESTIONS questions have a process at the same time; the others wait for their turn.

    Downloads have processes of their own, as many as their caller runs at once: a download may take an hour.
    """

    def __init__(self, uri: str, token: str, roots: Sequence[str]) -> None:
        self._uri, self._token, self._roots = uri, token, roots
        self._turns = asyncio.Semaphore(MAX_QUESTIONS)
        self._waiting = 0  # questions that wait for their turn
        self._idle: list[Process] = []

    async def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """MLflow's answer. Raises TimeoutError after `seconds`, and Unavailable where its turn does not come."""
        await self._wait_for_turn()
        try:
            return await self._exchange(request, lambda _: None, seconds)
        finally:
            self._turns.release()

    async def download(self, request: Mapping[str, Any], log: Log) -> dict[str, Any]:
        """The answer to a request that takes as long as it takes; meanwhile `log` gets its lines."""
        return await self._exchange(request, log, None)

    async def close(self) -> None:
        """End the processes that nobody waits for."""
        while self._idle:
            await _end(self._idle.pop())

    async def _wait_for_turn(self) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise errors.Unavailable(
                f"The model registry is slow: for {_TURN_SECONDS:.0f} s, {MAX_QUESTIONS} other questions have been "
                "waiting for its answer. Try again later.",
                retry_after=5,
            ) from None
        finally:
            self._waiting -= 1

    async def _exchange(self, request: Mapping[str, Any], log: Log, seconds: float | None) -> dict[str, Any]:
        """A process whose answer is not awaited to the end is killed: that is what stops MLflow's work."""
        process = await self._borrow()
        try:
            async with asyncio.timeout(seconds):
                answer = await _exchange(process, request, log)
        except BaseException:
            await _end(process)
            raise
        await self._give_back(process)
        return answer

    async def _borrow(self) -> Process:
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
            await _end(process)
        return await _start(self._uri, self._token, self._roots)

    async def _give_back(self, process: Process) -> None:
        self._idle.append(process)
        while len(self._idle) > 1 + self._waiting:
            await _end(self._idle.pop(0))


async def _start(uri: str, token: str, roots: Sequence[str]) -> Process:
    # -P: a folder `mlflow` in the working directory must not be taken for the package.
    argv = (sys.executable, "-P", "-m", "tidegate.adapters.mlflow.client_process", *roots)
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=PIPE,
        stdout=PIPE,
        env=_environment(uri, token),
        limit=_MAX_ANSWER_MB * 2**20,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_START_SECONDS):
            await _next_answer(process)
    except BaseException:
        await _end(process)
        raise
    return process


def _environment(uri: str, token: str) -> dict[str, str]:
    environment = dict(os.environ) | {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_REGISTRY_URI": uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "PYTHONWARNINGS": "ignore",
    }
    without = ["PYTHONDONTWRITEBYTECODE"]
    if token:
        environment["MLFLOW_TRACKING_TOKEN"] = token
        without += ["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]  # MLflow would prefer them
    return {name: value for name, value in environment.items() if name not in without}


async def _exchange(process: Process, request: Mapping[str, Any], log: Log) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write(json.dumps(request).encode() + b"\n")
    while True:
        answer = await _next_answer(process)
        if "line" not in answer:
            return answer
        log(answer["line"])


async def _next_answer(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
    except ValueError:
        raise errors.Unavailable(
            f"The model registry's answer is longer than {_MAX_ANSWER_MB} MB. Archive versions of the models whose "
            "serving is enabled, or disable it for some.",
            retry_after=30,
        ) from None
    if not line.endswith(b"\n"):
        raise errors.Unavailable(
            "MLflow's client ended before it answered; the platform's standard error has the cause.", retry_after=5
        )
    answer: dict[str, Any] = json.loads(line)
    return answer


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    # Read to the end: a pipe that is left open when the loop ends is a leak that Python warns of.
    await process.communicate()
