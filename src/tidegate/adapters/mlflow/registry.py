"""The ModelRegistry on MLflow: a tracking server over http(s), or a database such as `sqlite:////path/mlflow.db`.

MLflow itself runs in a child process (see `client_process`), which starts with the first request and is kept.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tidegate.adapters.mlflow.artifact_locations import shown
from tidegate.core import errors
from tidegate.core.endpoint.endpoint import ModelRef, ModelVersion
from tidegate.core.rollout.pointers import ModelPointers, Pointer, StagedVersion
from tidegate.ports import Log, ModelRegistry

_START_SECONDS = 60.0  # for MLflow's import, on a busy machine without bytecode
_QUICK_SECONDS = 9.0
_LISTING_SECONDS = 60.0  # for many pages of versions; MLflow's own limit is 4 s a page
_MAX_ANSWER_MB = 64  # about two million versions


class MlflowRegistry:
    """The ModelRegistry at `registry_uri`.

    `token` is sent as a bearer token; without one, MLflow's own variables (MLFLOW_TRACKING_TOKEN, …) apply. Models are
    downloaded from the registry's own store and from below `artifact_roots` (see `artifact_locations`) only.
    """

    def __init__(self, registry_uri: str, token: str = "", artifact_roots: Sequence[str] = ()) -> None:
        self._uri = registry_uri
        self._token = token
        self._roots = tuple(artifact_roots)
        self._idle: Process | None = None

    async def resolve(self, ref: ModelRef) -> ModelVersion:
        version, registered_at = await self._look_up({"verb": "resolve", "name": ref.name, "version": ref.version})
        return ModelVersion(ref.name, version, registered_at)

    async def pointers(self, names: Collection[str], listed: Collection[str] = ()) -> Mapping[str, ModelPointers]:
        request = {"verb": "pointers", "names": sorted(names), "listed": sorted(listed)}
        found: dict[str, Any] = await self._look_up(request) if names else {}
        return {
            name: ModelPointers(
                _pointers(model["aliases"]),
                _pointers(model["stages"]),
                tuple(StagedVersion(*version) for version in model["versions"]),
            )
            for name, model in found.items()
        }

    async def download(self, model: ModelVersion, destination: Path, log: Log) -> None:
        into = await asyncio.to_thread(_sibling, destination)
        try:
            await self._ask({"verb": "download", **asdict(model), "into": str(into)}, log, None)
            _publish(into, destination)
        finally:
            await asyncio.to_thread(shutil.rmtree, into, ignore_errors=True)

    async def close(self) -> None:
        """End the child process."""
        process, self._idle = self._idle, None
        if process is not None:
            await _end(process)

    async def _look_up(self, request: Mapping[str, Any]) -> Any:
        seconds = _LISTING_SECONDS if request.get("listed") else _QUICK_SECONDS
        try:
            return await self._ask(request, lambda _: None, seconds)
        except TimeoutError:
            raise errors.Unavailable(
                f"The model registry at {shown(self._uri)} did not answer within {seconds:.0f} s.",
                retry_after=5,
            ) from None

    async def _ask(self, request: Mapping[str, Any], log: Log, seconds: float | None) -> Any:
        """The result of a request to a child process. Raises the child's error, and TimeoutError.

        A child is killed where its answer is no longer awaited, as nothing else stops MLflow's work.
        """
        self._check_database()
        process = await self._borrow()
        try:
            async with asyncio.timeout(seconds):
                answer = await _exchange(process, request, log)
        except BaseException:
            await _end(process)
            raise
        await self._give_back(process)
        if "error" in answer:
            raise _ERRORS[answer["error"]](answer["message"], retry_after=answer["retry_after"])
        return answer["result"]

    async def _borrow(self) -> Process:
        process, self._idle = self._idle, None
        if process is not None:
            if process.returncode is None:
                return process
            await _end(process)
        return await _start(self._uri, self._token, self._roots)

    async def _give_back(self, process: Process) -> None:
        if self._idle is None:
            self._idle = process
        else:
            await _end(process)

    def _check_database(self) -> None:
        # Where there is no database, MLflow would make an empty one.
        path = self._uri.removeprefix("sqlite:///")
        if path != self._uri and not Path(path).is_file():
            raise errors.ConfigurationError(f"There is no registry database {path}. Check the registry's URI.")


_: type[ModelRegistry] = MlflowRegistry

_ERRORS: dict[str, type[errors.TidegateError]] = {
    kind.__name__: kind
    for kind in (errors.NotFound, errors.Conflict, errors.Unavailable, errors.ConfigurationError, errors.BuildFailed)
}


def _pointers(told: Mapping[str, tuple[str, bool, int]]) -> dict[str, Pointer]:
    return {name: Pointer(*pointed) for name, pointed in told.items()}


# --- the destination


def _sibling(destination: Path) -> Path:
    """A new directory beside `destination`: on the same file system, so that it can be renamed."""
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
    except OSError as error:
        raise errors.Unavailable(
            f"The model cannot be kept in {destination.parent}: {error.strerror}. Nothing was downloaded. "
            "Free some space or mend the permissions, then try again.",
            retry_after=30,
        ) from error


def _publish(into: Path, destination: Path) -> None:
    try:
        into.rename(destination)
    except OSError:
        if not destination.is_dir():  # else another download was first; the content of a version never changes
            raise


# --- the child process


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
            f"The model registry's answer is longer than {_MAX_ANSWER_MB} MB. Archive versions of models whose "
            "serving is enabled, or disable the serving of some.",
            retry_after=30,
        ) from None
    if not line.endswith(b"\n"):
        raise errors.Unavailable(
            "MLflow's client ended before it answered. The platform's standard error has the cause.", retry_after=5
        )
    answer: dict[str, Any] = json.loads(line)
    return answer


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    # Read to the end: a pipe that is left open when the loop ends is a leak that Python warns of.
    await process.communicate()
