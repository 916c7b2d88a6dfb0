"""The ModelRegistry on MLflow: a tracking server over http(s), or a database such as `sqlite:////path/mlflow.db`.

MLflow itself runs in child processes: `client_pool` has them, and `client_process` is what runs in each.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tidegate.adapters.mlflow.artifact_locations import shown
from tidegate.adapters.mlflow.client_pool import MlflowProcesses
from tidegate.core import errors
from tidegate.core.endpoint.registered_model import ModelDetails, ModelSignature, RegisteredModel, RegisteredVersion
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion
from tidegate.core.rollout.pointers import ModelPointers, Pointer, StagedVersion
from tidegate.ports import Log, ModelRegistry

_QUICK_SECONDS = 9.0
_LISTING_SECONDS = 60.0  # for many pages of models or versions; each has MLflow's own limit of a few seconds


class MlflowRegistry:
    """The ModelRegistry at `registry_uri`.

    `token` is sent as a bearer token; without one, MLflow's own variables (MLFLOW_TRACKING_TOKEN, …) apply. Models are
    downloaded from the registry's own store and from below `artifact_roots` (see `artifact_locations`) only.
    """

    def __init__(self, registry_uri: str, token: str = "", artifact_roots: Sequence[str] = ()) -> None:
        self._uri = registry_uri
        self._processes = MlflowProcesses(registry_uri, token, tuple(artifact_roots))

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

    async def list_models(self) -> tuple[RegisteredModel, ...]:
        return tuple(RegisteredModel(**model) for model in await self._look_up({"verb": "models"}))

    async def describe(self, name: str) -> ModelDetails:
        found = await self._look_up({"verb": "model", "name": name})
        versions = (RegisteredVersion(**one | {"aliases": tuple(one["aliases"])}) for one in found["versions"])
        return ModelDetails(RegisteredModel(**found["model"]), found["description"], tuple(versions))

    async def signature(self, model: ModelVersion) -> ModelSignature:
        return ModelSignature(**await self._look_up({"verb": "signature", **asdict(model)}))

    async def download(self, model: ModelVersion, destination: Path, log: Log) -> None:
        into = await asyncio.to_thread(_sibling, destination)
        try:
            await self._ask({"verb": "download", **asdict(model), "into": str(into)}, log)
            _publish(into, destination)
        finally:
            await asyncio.to_thread(shutil.rmtree, into, ignore_errors=True)

    async def close(self) -> None:
        """End MLflow's processes."""
        await self._processes.close()

    async def _look_up(self, request: Mapping[str, Any]) -> Any:
        try:
            return await self._ask(request, lambda _: None)
        except TimeoutError:
            raise errors.Unavailable(
                f"The model registry at {shown(self._uri)} did not answer within {_seconds(request):.0f} s.",
                retry_after=5,
            ) from None

    async def _ask(self, request: Mapping[str, Any], log: Log) -> Any:
        """The result of a request to MLflow. Raises what MLflow's process says, and TimeoutError."""
        self._check_database()
        if request["verb"] == "download":
            answer = await self._processes.download(request, log)
        else:
            answer = await self._processes.ask(request, _seconds(request))
        if "error" in answer:
            raise _ERRORS[answer["error"]](answer["message"], retry_after=answer["retry_after"])
        return answer["result"]

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


def _seconds(request: Mapping[str, Any]) -> float:
    """How long the registry has to answer."""
    lists = request.get("listed") or request["verb"] in ("models", "model")
    return _LISTING_SECONDS if lists else _QUICK_SECONDS


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
