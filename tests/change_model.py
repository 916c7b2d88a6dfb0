"""Changes a registered model as its owner would, with MLflow's own client, in a process of its own.

    change_model.py NAME CHANGE...

`register` gives it the files of `wine`'s newest version as version 1, and the alias `champion`.
"""

import sys
from contextlib import suppress

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


def main(name: str, *changes: str) -> None:
    client = MlflowClient()
    for change in changes:
        _change(client, name, change)


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
            sys.exit(f"unknown change: {change}")


main(*sys.argv[1:])
