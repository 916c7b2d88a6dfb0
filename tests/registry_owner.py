"""What the owner of registered models does, with MLflow's own client, in a process that has imported MLflow once.

Each line of the input is one thing to do, as a JSON list; it is done in a fork, and answered by `DONE` or `FAILED`.

    [URI, "models", ARTIFACT_LOCATION]     registers the models of the registry's contract suite
    [URI, "change", NAME, CHANGE, …]       changes a registered model; see `change`

wine: versions 1 (Archived), 2 (Production, @champion), 3 (as MLflow 2 logged it, from a run's folder).
tea: version 1 (@now), 2 (pending, @next), 3 (failed); the last two are marked by the caller, in the database.
empty: a registered model without versions.
"""

import json
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

import git  # noqa: F401 - what takes long, once, with the stores: MLflow imports this to log a model
import mlflow
import mlflow.store.db.utils
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.store.model_registry import sqlalchemy_store  # noqa: F401
from mlflow.store.tracking import sqlalchemy_store as tracking_store  # noqa: F401
from mlflow.types import ColSpec, Schema


class Echo(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    def predict(self, context: object, model_input: object, params: object = None) -> object:
        return model_input


def models(artifact_location: str) -> None:
    client = MlflowClient()
    experiment = client.create_experiment("contracts", artifact_location or None)
    mlflow.set_experiment(experiment_id=experiment)
    for name in ("wine", "wine"):
        mlflow.pyfunc.log_model(
            name="model",
            python_model=Echo(),
            pip_requirements=["mlflow"],
            registered_model_name=name,
            signature=ModelSignature(Schema([ColSpec("double", "acid")]), Schema([ColSpec("double")])),
        )
    register_as_mlflow_2(client, experiment, "wine")
    client.transition_model_version_stage("wine", "1", "Archived")
    client.transition_model_version_stage("wine", "2", "Production")
    client.set_registered_model_alias("wine", "champion", "2")
    client.create_registered_model("tea")
    for _ in range(3):
        register_as_mlflow_2(client, experiment, "tea")
    client.set_registered_model_alias("tea", "now", "1")
    client.set_registered_model_alias("tea", "next", "2")
    client.create_registered_model("empty")


def register_as_mlflow_2(client: MlflowClient, experiment: str, name: str) -> None:
    run = client.create_run(experiment)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: x\n")
        (Path(folder) / "data").mkdir()
        (Path(folder) / "data" / "weights.bin").write_bytes(b"\1" * 300_000)
        client.log_artifacts(run.info.run_id, folder, "model")
    client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id)


def change(name: str, *changes: str) -> None:
    """`register` gives it the files of `wine`'s newest version as version 1, and the alias `champion`."""
    client = MlflowClient()
    for one in changes:
        _change(client, name, one)


def _change(client: MlflowClient, name: str, change: str) -> None:
    match change:
        case "delete":
            with suppress(MlflowException):  # it was not there
                client.delete_registered_model(name)
        case "register":
            client.create_registered_model(name)
            wine = client.get_model_version("wine", "3")
            client.create_model_version(name, wine.source, wine.run_id)
            client.set_registered_model_alias(name, "champion", "1")
        case "stage":
            client.transition_model_version_stage(name, "1", "Production")
        case "alias":
            client.set_registered_model_alias(name, "other", "1")
        case "description":
            client.update_model_version(name, "1", "Sweet.")
            client.update_registered_model(name, "Jams.")
        case "rename":
            client.rename_registered_model(name, "jelly")
        case "rename back":
            client.rename_registered_model("jelly", name)
        case _:
            raise ValueError(f"unknown change: {change}")


def main() -> None:
    for line in sys.stdin:
        uri, verb, *arguments = json.loads(line)
        child = os.fork()
        if not child:
            done = 1
            try:
                mlflow.set_tracking_uri(uri)
                models(*arguments) if verb == "models" else change(*arguments)
                done = 0
            except Exception:
                traceback.print_exc()
            os._exit(done)
        print("FAILED" if os.waitpid(child, 0)[1] else "DONE", flush=True)


main()
