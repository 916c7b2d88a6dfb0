"""MLflow's client, in a process of its own: what `registry` asks, answered in JSON lines.

Why apart: MLflow reads credentials and time limits from the environment, which the children of control must not
inherit; its import takes seconds and 100 MB; and a download under way can only be stopped by ending its process.

    stdin    {"verb": "resolve", "name", "version"},   {"verb": "download", "name", "version", "registered_at", "into"}
             or   {"verb": "pointers", "names", "listed"}
    stdout   {"ready": true} once; then for each request {"line"}… and {"result"} or {"error", "message", "retry_after"}

The arguments are the roots of artifact locations (see `artifact_locations`). One request at a time. At the end of stdin
the process ends, and a half-made download with it.
"""

import errno
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from setproctitle import setproctitle

from tidegate.adapters.mlflow.artifact_locations import ArtifactLocations, guard, not_to_copy, shown
from tidegate.adapters.mlflow.pointer_queries import MlflowPointers, registered_at
from tidegate.adapters.mlflow.search import all_versions
from tidegate.core import errors
from tidegate.core.endpoint.endpoint import ModelRef, ModelVersion
from tidegate.core.rollout.pointers import STAGES

# Variables of MLflow, read by it at each call: to look something up must fail within seconds, to copy files may last.
_QUICK = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
_PATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "120", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4"}

_PROGRESS_SECONDS = 1.0


def main() -> None:
    """Serve requests until the end of stdin."""
    setproctitle("tidegate: registry client")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what MLflow and its plug-ins print must not mix with the answers
    os.environ.update(_QUICK)
    import mlflow

    locations = ArtifactLocations(os.environ["MLFLOW_REGISTRY_URI"], tuple(sys.argv[1:]))
    guard(locations, _Refused)
    server = _Server(mlflow.MlflowClient, locations, answers)
    server.send(ready=True)
    for line in sys.stdin:
        # On a thread of its own, so that the end of stdin is noticed while it works.
        threading.Thread(target=server.serve, args=(json.loads(line),), daemon=True).start()
    server.abandon()
    os._exit(0)


class _Server:
    """Answers requests by MLflow's client."""

    def __init__(self, connect: Callable[[], Any], locations: ArtifactLocations, answers: TextIO) -> None:
        self._connect = connect
        self._locations = locations
        self._uri = locations.registry
        self._answers = answers
        self._downloading: Path | None = None

    @cached_property
    def _client(self) -> Any:
        return self._connect()  # opens the database, where the registry is one

    @cached_property
    def _pointers(self) -> MlflowPointers:
        return MlflowPointers(self._client)

    def send(self, **answer: object) -> None:
        self._answers.write(json.dumps(answer) + "\n")

    def serve(self, request: dict[str, Any]) -> None:
        try:
            with _foreign_errors(self._uri):
                result = self._result(request)
        except errors.TidegateError as error:
            self.send(error=type(error).__name__, message=error.message, retry_after=error.retry_after)
        else:
            self.send(result=result)

    def _result(self, request: dict[str, Any]) -> object:
        if request["verb"] == "pointers":
            return self._pointers.of(request["names"], request["listed"])
        if request["verb"] == "resolve":
            return _resolve(self._client, ModelRef(request["name"], request["version"]))
        model = ModelVersion(request["name"], request["version"], request["registered_at"])
        return self._download(model, Path(request["into"]))

    def abandon(self) -> None:
        """Nobody waits any more: leave nothing half-made behind."""
        if self._downloading is not None:
            shutil.rmtree(self._downloading, ignore_errors=True)

    def _download(self, model: ModelVersion, into: Path) -> str:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        ref = ModelRef(model.name, model.version)
        _check_same(model, _find(self._client, ref))
        source = self._client.get_model_version_download_uri(ref.name, ref.version)
        self._check_reachable(ref, source)
        try:
            repository = get_artifact_repository(ref.uri)
        except _Refused as refused:
            raise _refused(ref, *refused.args) from None
        self._check_files(ref, repository)
        self._downloading = into
        total = sum(_sizes(repository, ""))
        if (free := shutil.disk_usage(into).free) < total:
            raise _disk_full(f"{_mb(total)} MB are needed, {_mb(free)} MB are free")
        with self._progress(into, total), _environment(_PATIENT):
            repository.download_artifacts("", str(into))
        _check_content(ref, into, source)
        self._downloading = None
        return ""

    def _check_reachable(self, ref: ModelRef, source: str) -> None:
        if urlsplit(source).scheme == "mlflow-artifacts" and urlsplit(self._uri).scheme not in ("http", "https"):
            raise errors.ConfigurationError(
                f"The files of {_named(ref)} are kept by an MLflow tracking server ({source}). "
                "Name that server's http address as the registry instead of its database."
            )

    def _check_files(self, ref: ModelRef, repository: Any) -> None:
        while hasattr(repository, "repo"):  # one that only leads to another
            repository = repository.repo
        folder = getattr(repository, "artifact_dir", None)  # where it is one of this machine
        if folder is not None and (why := not_to_copy(Path(folder), self._locations)):
            raise errors.BuildFailed(
                f"{_named(ref)} cannot be copied: {why}. Register it again with plain files and folders."
            )

    @contextmanager
    def _progress(self, into: Path, total: int) -> Iterator[None]:
        done = threading.Event()

        def tell() -> None:
            self.send(line=f"model: {_mb(_size_on_disk(into))} of {_mb(total)} MB")

        def watch() -> None:
            while not done.wait(_PROGRESS_SECONDS):
                tell()

        tell()
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
        tell()


# --- resolving


def _resolve(client: Any, ref: ModelRef) -> tuple[str, int]:
    found = _find(client, ref)
    status = str(found.status)
    if status == "READY":
        return str(found.version), registered_at(found)
    detail = f": {found.status_message}" if found.status_message else ""
    if status.startswith("PENDING"):
        raise errors.Conflict(
            f"Version {found.version} of model '{ref.name}' is still being registered{detail}. "
            "Try again when it is READY."
        )
    raise errors.Conflict(
        f"Version {found.version} of model '{ref.name}' was not registered ({status}{detail}). Register it again."
    )


def _find(client: Any, ref: ModelRef) -> Any:
    from mlflow.exceptions import MlflowException

    if ref.alias is None and not ref.version.isdecimal():
        return _newest_in_stage(client, ref)
    try:
        if ref.alias is not None:
            return client.get_model_version_by_alias(ref.name, ref.alias)
        return client.get_model_version(ref.name, ref.version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise _not_found(client, ref) from error


def _newest_in_stage(client: Any, ref: ModelRef) -> Any:
    versions = all_versions(client, ref.name)
    if ref.version.lower() != "latest":
        stage = next((stage for stage in STAGES if stage.lower() == ref.version.lower()), None)
        if stage is None:
            raise errors.NotFound(
                f"Model '{ref.name}' has no version '{ref.version[:80]}': give a version number, an alias such as "
                f"@champion, a stage ({', '.join(STAGES)}), or latest."
            )
        versions = [version for version in versions if version.current_stage == stage]
    if not versions:
        raise _not_found(client, ref)
    return max(versions, key=lambda version: int(version.version))


def _not_found(client: Any, ref: ModelRef) -> errors.NotFound:
    """The error that says what was asked, and what there is instead."""
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_registered_model(ref.name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        names = [model.name for model in client.search_registered_models(max_results=10)]
        there = f"It has {', '.join(names)}." if names else "It is empty."
        return errors.NotFound(f"The registry has no model '{ref.name[:80]}'. {there}")
    if ref.alias is not None:
        aliases = ", ".join(f"@{alias} (version {version})" for alias, version in sorted(model.aliases.items()))
        there = f"It has {aliases}." if aliases else "It has no alias at all."
        return errors.NotFound(f"Model '{ref.name}' has no alias '@{ref.alias}'. {there}")
    versions = all_versions(client, ref.name)
    if not versions:
        return errors.NotFound(f"Model '{ref.name}' has no versions.")
    if ref.version.isdecimal():
        numbers = ", ".join(str(version.version) for version in versions[-20:])
        return errors.NotFound(f"Model '{ref.name}' has versions {numbers}; version {ref.version} is not there.")
    stages = ", ".join(f"{version.version} in {version.current_stage}" for version in versions[-20:])
    return errors.NotFound(f"Model '{ref.name}' has no version in stage {ref.version.capitalize()}; it has {stages}.")


# --- downloading


def _check_same(model: ModelVersion, found: Any) -> None:
    if model.registered_at and registered_at(found) not in (0, model.registered_at):
        raise errors.NotFound(
            f"Version {model.version} of model '{model.name}' that was asked for is not there any more: the model was "
            "deleted or renamed, and its name is another's now. Update the endpoint to serve what has the name."
        )


def _sizes(repository: Any, path: str) -> Iterator[int]:
    for entry in repository.list_artifacts(path):
        if not entry.is_dir:
            yield entry.file_size or 0
        elif entry.path not in (path, "."):  # some stores list a directory within itself
            yield from _sizes(repository, entry.path)


def _size_on_disk(folder: Path) -> int:
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(parent) / name).stat().st_size
            except FileNotFoundError:
                continue  # renamed at this moment
    return total


class _Refused(Exception):
    """MLflow was about to open a location that it may not; with that location, and why."""


def _refused(ref: ModelRef, location: str, why: str) -> errors.ConfigurationError:
    return errors.ConfigurationError(
        f"The files of {_named(ref)} are at {location}, {why}. Nothing was fetched from there. Register the model with "
        "files in the registry's own store, or let an administrator list the place in registry.artifact_roots."
    )


def _check_content(ref: ModelRef, folder: Path, source: str) -> None:
    if (folder / "MLmodel").is_file():
        return
    if any(path.name != "registered_model_meta" for path in folder.iterdir()):
        raise errors.BuildFailed(f"{_named(ref)} has no MLmodel file. Log it with mlflow.<flavor>.log_model.")
    raise errors.NotFound(f"{_named(ref)} has no files at {source}. Register the model again.")


def _named(ref: ModelRef) -> str:
    return f"Version {ref.version} of model '{ref.name}'"


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f}"


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name, "") for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.update(before)


# --- foreign exceptions


@contextmanager
def _foreign_errors(uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    where = f"The model registry at {shown(uri)}"
    try:
        yield
    except errors.TidegateError:
        raise
    except Exception as error:
        text = str(error)
        if _is_disk_full(error, text):
            raise _disk_full("no space is left on the device") from error
        status = error.get_http_status_code() if isinstance(error, MlflowException) else 500
        if status in (401, 403):
            raise errors.ConfigurationError(
                f"{where} refused the credentials ({status}). Give a token that may read models: "
                "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
            ) from error
        if isinstance(error, MlflowException) and error.error_code == "ENDPOINT_NOT_FOUND":
            raise errors.ConfigurationError(
                f"{where} is not an MLflow server: it answers 404. Check the URI."
            ) from error
        if "out-of-date database schema" in text:
            raise errors.ConfigurationError(
                f"{where} has the schema of another MLflow version. Back it up and run `mlflow db upgrade`."
            ) from error
        raise errors.Unavailable(f"{where} cannot be used now: {_reason(text)}.", retry_after=5) from error


def _is_disk_full(error: BaseException, text: str) -> bool:
    # MLflow downloads on threads and puts their exceptions into its own one's text.
    full = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in full or any(os.strerror(number) in text for number in full)


def _disk_full(detail: str) -> errors.Unavailable:
    return errors.Unavailable(
        f"The disk for models is full: {detail}. Nothing half-made was kept; free some space, then try again.",
        retry_after=30,
    )


_REASONS = re.compile(
    r"\[Errno -?\d+\] ([^'\")\]]+)|(too many \d+ error responses)|((?:read|connect)[a-z ]* timed? ?out)", re.IGNORECASE
)


def _reason(text: str) -> str:
    """The cause, out of the several hundred characters that nested HTTP exceptions print."""
    found = _REASONS.search(text)
    if found:
        return next(group for group in found.groups() if group).strip()
    return text.strip().splitlines()[0][:300].rstrip(".") if text.strip() else "no reason given"


if __name__ == "__main__":
    main()
