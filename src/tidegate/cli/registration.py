"""Registering a saved model with the server's own MLflow registry, by MLflow's client."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tidegate.cli.failure import Failure
from tidegate.cli.find_server import Server
from tidegate.core.endpoint.served_entity import ModelRef

# What may be set for another server must not reach this one.
_FOREIGN = (
    "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_AUTH", "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID",
)  # fmt: skip

OnProgress = Callable[[int, int], None]
"""Called with the bytes that are done and the bytes of all."""


def register(server: Server, directory: Path, name: str, on_progress: OnProgress) -> ModelRef:
    """Upload the model in `directory` under a run of its own, as a new version of `name`. Raises Failure."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with quiet_mlflow(server) as uri, _failures(name):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        with contextlib.suppress(MlflowException):  # there already; if it is not, the last call says why
            client.create_registered_model(name)
        run = client.create_run("0", run_name=f"tidegate launch {name}")
        try:
            _upload(client, run.info.run_id, directory, on_progress)
        except BaseException:
            client.set_terminated(run.info.run_id, "FAILED")
            raise
        client.set_terminated(run.info.run_id)
        version = client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id)
    return ModelRef(name, str(version.version))


@contextlib.contextmanager
def quiet_mlflow(server: Server) -> Iterator[str]:
    """MLflow set up to talk to the server's registry, whose URI it yields, and to keep its own talk off the screen."""
    for variable in _FOREIGN:
        os.environ.pop(variable, None)
    os.environ |= {
        "MLFLOW_TRACKING_TOKEN": server.token,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    }
    import mlflow

    uri = f"{server.url}/mlflow"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    talk = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(talk), contextlib.redirect_stderr(talk):
        warnings.simplefilter("ignore")
        yield uri


@contextlib.contextmanager
def _failures(name: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:  # requests' errors are OSErrors
        cause = error.message if isinstance(error, MlflowException) else str(error)
        raise Failure(f"The model could not be registered as '{name}': {' '.join(cause.split())}") from None


def _upload(client: Any, run_id: str, directory: Path, on_progress: OnProgress) -> None:
    files = sorted(file for file in directory.rglob("*") if file.is_file())
    total, done = sum(file.stat().st_size for file in files), 0
    for file in files:
        on_progress(done, total)
        folder = file.parent.relative_to(directory)
        client.log_artifact(run_id, str(file), (Path("model") / folder).as_posix())
        done += file.stat().st_size
