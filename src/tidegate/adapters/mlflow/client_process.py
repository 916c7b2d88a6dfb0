"""The process in which MLflow's client runs. It answers the requests of `registry` in JSON lines.

It is a process of its own for three reasons. MLflow reads credentials and time limits from the environment, which the
other children of control must not inherit. Its import takes seconds and 100 MB. And only the end of its process stops a
download.

    stdin    {"verb": "resolve", "name", "version"},   {"verb": "download", "name", "version", "registered_at", "into"},
             {"verb": "pointers", "names", "listed"},   {"verb": "models"},   {"verb": "model", "name"}
             or   {"verb": "signature", "name", "version", "registered_at"}
    stdout   {"ready": true} once; then for each request {"line"}… and {"result"} or {"error", "message", "retry_after"}

The arguments are the roots of artifact locations (see `artifact_locations`). There is one request at a time. At the end
of stdin the process removes a half-made download and ends.
"""

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from setproctitle import setproctitle

from tidegate.adapters.mlflow import catalogue
from tidegate.adapters.mlflow.artifact_locations import ArtifactLocations, guard
from tidegate.adapters.mlflow.downloads import Download, LocationRefused
from tidegate.adapters.mlflow.mlflow_errors import as_tidegate_errors
from tidegate.adapters.mlflow.pointer_queries import MlflowPointers
from tidegate.adapters.mlflow.version_lookup import resolve
from tidegate.core import errors
from tidegate.core.endpoint.served_entity import ModelRef, ModelVersion

# MLflow reads these variables at each call. A look-up must fail within seconds.
_QUICK = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}


def main() -> None:
    """Serve requests until the end of stdin."""
    setproctitle("tidegate: registry client")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # MLflow and its plug-ins print to stdout; the answers must not mix with that
    os.environ.update(_QUICK)
    import mlflow

    locations = ArtifactLocations(os.environ["MLFLOW_REGISTRY_URI"], tuple(sys.argv[1:]))
    guard(locations, LocationRefused)
    server = _Server(mlflow.MlflowClient, locations, answers)
    server.send(ready=True)
    for line in sys.stdin:
        # On a thread of its own, so that the end of stdin is noticed while it works.
        threading.Thread(target=server.serve, args=(json.loads(line),), daemon=True).start()
    server.abandon()
    os._exit(0)


class _Server:
    """Answers requests by MLflow's client, one at a time."""

    def __init__(self, connect: Callable[[], Any], locations: ArtifactLocations, answers: TextIO) -> None:
        self._connect = connect
        self._locations = locations
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
            with as_tidegate_errors(self._locations.registry):
                result = self._result(request)
        except errors.TidegateError as error:
            self.send(error=type(error).__name__, message=error.message, retry_after=error.retry_after)
        else:
            self.send(result=result)

    def _result(self, request: dict[str, Any]) -> object:
        if request["verb"] == "pointers":
            return self._pointers.of(request["names"], request["listed"])
        if request["verb"] == "resolve":
            return resolve(self._client, ModelRef(request["name"], request["version"]))
        if request["verb"] == "models":
            return [asdict(model) for model in catalogue.models(self._client)]
        if request["verb"] == "model":
            return asdict(catalogue.details(self._client, request["name"]))
        if request["verb"] == "signature":
            model = ModelVersion(request["name"], request["version"], request["registered_at"])
            return asdict(Download(self._client, self._locations, lambda _: None).signature(model))
        model = ModelVersion(request["name"], request["version"], request["registered_at"])
        self._downloading = Path(request["into"])
        Download(self._client, self._locations, lambda line: self.send(line=line)).run(model, self._downloading)
        self._downloading = None
        return ""

    def abandon(self) -> None:
        """Remove a half-made download: its caller is gone."""
        if self._downloading is not None:
            shutil.rmtree(self._downloading, ignore_errors=True)


if __name__ == "__main__":
    main()
