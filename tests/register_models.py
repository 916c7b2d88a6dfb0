"""Registers the models of the registry's contract suite, with MLflow's own client, in a process of its own.

wine: versions 1 (Archived), 2 (Production, @champion), 3 (as MLflow 2 logged it, from a run's folder).
tea: version 1 (@now), 2 (pending, @next), 3 (failed); the last two are marked by the caller, in the database.
empty: a registered model without versions.
"""

import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient


class Echo(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    def predict(self, context: object, model_input: object, params: object = None) -> object:
        return model_input


def main(artifact_location: str) -> None:
    client = MlflowClient()
    experiment = client.create_experiment("contracts", artifact_location or None)
    mlflow.set_experiment(experiment_id=experiment)
    for name in ("wine", "wine"):
        mlflow.pyfunc.log_model(
            name="model", python_model=Echo(), pip_requirements=["mlflow"], registered_model_name=name
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


main(sys.argv[1])
