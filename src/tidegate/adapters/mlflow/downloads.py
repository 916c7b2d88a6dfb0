"""Downloads the files of a model version by MLflow's client, checks them before and after, and reports the progress."""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tidegate.adapters.mlflow.artifact_locations import ArtifactLocations, not_to_copy, shown
from tidegate.adapters.mlflow.mlflow_errors import disk_full
from tidegate.adapters.mlflow.pointer_queries import registered_at
from tidegate.adapters.mlflow.version_lookup import find
from tidegate.bounded_text import MAX_TEXT_BYTES
from tidegate.core import errors
from tidegate.core.endpoint.registered_model import ModelSignature
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion
from tidegate.model_files import mapping_of
from tidegate.ports import Log

# MLflow reads these variables at each call. A look-up must fail within seconds; a copy of files may take long.
_PATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "120", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4"}

_PROGRESS_SECONDS = 1.0


class LocationRefused(Exception):
    """MLflow was about to open a location that it may not open: the location as it may be shown, and why."""


class Download:
    """A download by one client, from `locations` alone. `log` gets a line of progress each second."""

    def __init__(self, client: Any, locations: ArtifactLocations, log: Log) -> None:
        self._client, self._locations, self._log = client, locations, log

    def run(self, model: ModelVersion, into: Path) -> None:
        """Copy the version's files into the folder `into`.

        Raises NotFound, BuildFailed, ConfigurationError for a location that may not be opened, and Unavailable for a
        full disk.
        """
        ref, source, repository = self._opened(model)
        total = sum(_sizes(repository, ""))
        if (free := shutil.disk_usage(into).free) < total:
            raise disk_full(f"{_mb(total)} MB are needed, {_mb(free)} MB are free")
        with self._progress(into, total), _environment(_PATIENT):
            repository.download_artifacts("", str(into))
        _check_content(ref, into, shown(source))

    def signature(self, model: ModelVersion) -> ModelSignature:
        """The version's signature, of its MLmodel file alone. Raises as `run` does."""
        ref, _, repository = self._opened(model)
        sizes = {entry.path: entry.file_size or 0 for entry in repository.list_artifacts("")}
        if sizes.get("MLmodel", 0) > MAX_TEXT_BYTES:
            raise errors.BuildFailed(f"The MLmodel file of {_named(ref)} is longer than {_mb(MAX_TEXT_BYTES)} MB.")
        with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
            repository.download_artifacts("MLmodel", folder)
            told = mapping_of(Path(folder) / "MLmodel").get("signature")
        parts = told if isinstance(told, dict) else {}
        texts = {part: parts[part] for part in ("inputs", "outputs", "params") if isinstance(parts.get(part), str)}
        return ModelSignature(**texts)

    def _opened(self, model: ModelVersion) -> tuple[ModelRef, str, Any]:
        """The version, the location of its files, and what reads them, once it is known that it may."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        ref = ModelRef(model.name, model.version)
        _check_same(model, find(self._client, ref))
        source = self._client.get_model_version_download_uri(ref.name, ref.version)
        self._check_reachable(ref, source)
        try:
            repository = get_artifact_repository(ref.uri)
        except LocationRefused as refused:
            raise _refused(ref, *refused.args) from None
        self._check_files(ref, repository)
        return ref, source, repository

    def _check_reachable(self, ref: ModelRef, source: str) -> None:
        registry = urlsplit(self._locations.registry)
        if urlsplit(source).scheme == "mlflow-artifacts" and registry.scheme not in ("http", "https"):
            raise errors.ConfigurationError(
                f"The files of {_named(ref)} are kept by an MLflow tracking server ({shown(source)}). "
                "Name that server's http address as the registry instead of its database."
            )

    def _check_files(self, ref: ModelRef, repository: Any) -> None:
        from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

        while hasattr(repository, "repo"):  # what `runs:` and `models:` lead to
            repository = repository.repo
        if not isinstance(repository, LocalArtifactRepository):
            return
        if why := not_to_copy(Path(repository.artifact_dir), self._locations):
            raise errors.BuildFailed(
                f"{_named(ref)} cannot be copied: {why}. Register it again with plain files and folders."
            )

    @contextmanager
    def _progress(self, into: Path, total: int) -> Iterator[None]:
        done = threading.Event()

        def tell() -> None:
            self._log(f"model: {_mb(_size_on_disk(into))} of {_mb(total)} MB")

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


def _check_same(model: ModelVersion, found: Any) -> None:
    if model.registered_at and registered_at(found) not in (0, model.registered_at):
        raise errors.NotFound(
            f"The registry no longer has the version {model.version} of model '{model.name}' that the endpoint asked "
            "for: the model was deleted or renamed, and another model has its name. Update the endpoint to serve that."
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
