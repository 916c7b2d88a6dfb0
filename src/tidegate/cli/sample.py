"""`python -m tidegate.cli.sample`: what `tidegate up --sample` does once the platform is ready.

On an empty registry it trains a model, registers and launches it as any user would, and prints a line that queries it.
On a later start it prints the line again.
"""

import argparse
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer

from tidegate.cli.client import Client
from tidegate.cli.commands.launch import bring_up, existing, model_fields
from tidegate.cli.curl import print_curl_line
from tidegate.cli.failure import Failure
from tidegate.cli.find_server import Server, ServerOptions, find
from tidegate.cli.progress import Progress
from tidegate.cli.registration import quiet_mlflow
from tidegate.cli.watch import Watch
from tidegate.core.endpoint.served_entity import ModelRef
from tidegate.core.errors import TidegateError

NAME = "wine"
# What loading the model takes, at the versions it was trained with. MLflow's own guess adds what is merely installed.
_REQUIREMENTS = ("mlflow-skinny", "numpy", "pandas", "scikit-learn", "skops")


def main(arguments: list[str]) -> int:
    """Run with the options --url and --data-dir; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.cli.sample")
    parser.add_argument("--url", required=True)
    parser.add_argument("--data-dir", required=True, type=Path)
    given = parser.parse_args(arguments)
    try:
        server = find(ServerOptions(given.url, data_dir=given.data_dir), os.environ)
        with Client(server) as client:
            provide(client)
    except (Failure, TidegateError) as failure:
        details = getattr(failure, "details", "")
        typer.echo(f"The sample model could not be launched: {failure.message}\n{details}".rstrip(), err=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def provide(client: Client) -> None:
    """See to it that an empty platform has the sample endpoint, and tell how to query it."""
    endpoint = existing(client, NAME)
    if endpoint is None and (registered := client.registered_models()):
        typer.echo(f"Launch a registered model with: tidegate launch models:/{registered[0]}/VERSION")
        return
    with Progress() as progress:
        if endpoint is None:
            launch(client, progress)
        elif endpoint.updating:  # the platform was stopped in the middle of it
            Watch(client, NAME, progress).until_ended(endpoint)
    typer.echo("\nTry the sample endpoint:")
    print_curl_line(client.server, NAME, client.example(NAME))
    typer.echo()


def launch(client: Client, progress: Progress) -> None:
    """Train, register and launch the sample model. Raises Failure."""
    progress.show(f"Training the sample model '{NAME}'.")
    ref = train(client.server)
    progress.tell(f"The sample model is trained and registered as {ref.uri}.")
    bring_up(client, NAME, {**model_fields(ref), "workload_size": "Small"}, progress, wait=True)


def train(server: Server) -> ModelRef:
    """Train a classifier of scikit-learn's wines and register it with the server's own registry. Raises Failure."""
    from mlflow.exceptions import MlflowException

    with quiet_mlflow(server):
        try:
            return ModelRef(NAME, str(_log_model().registered_model_version))
        except MlflowException as error:
            raise Failure(" ".join(error.message.split())) from None


def _log_model() -> Any:
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = load_wine(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, labels)
    return mlflow.sklearn.log_model(
        model,
        name="model",
        registered_model_name=NAME,
        signature=infer_signature(features, model.predict(features)),
        input_example=features.head(1),
        pip_requirements=[f"{package}=={version(package)}" for package in _REQUIREMENTS],
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
