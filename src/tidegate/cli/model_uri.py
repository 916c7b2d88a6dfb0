"""What MODEL_URI means: a model of the registry, or a saved model on this machine's disk."""

import re
from pathlib import Path

import typer

from tidegate.cli.failure import Failure
from tidegate.core.endpoint.served_entity import ModelRef

_REGISTERED = re.compile(r"models:/(?P<name>[^/@:]+)(?:/(?P<version>[^/@:]+)|(?P<alias>@[^/@:]+))")
_FORMS = "Write models:/NAME/3, models:/NAME@champion, models:/NAME/Production, or the path of a saved model"


def parse(uri: str) -> ModelRef | Path:
    """The registered model, or the saved model's directory.

    Raises BadParameter for what is neither, and Failure for a directory without a model in it.
    """
    if match := _REGISTERED.fullmatch(uri):
        return ModelRef(match["name"], match["version"] or match["alias"])
    if uri.startswith("models:"):
        raise typer.BadParameter(f"'{uri}' does not name a version of a registered model. {_FORMS}.")
    if uri.startswith("runs:"):
        raise typer.BadParameter(f"'{uri}' is a run's model. Register it first (mlflow.register_model). {_FORMS}.")
    path = Path(uri.removeprefix("file://"))
    if not path.exists():
        raise typer.BadParameter(f"There is no '{uri}'. {_FORMS}.")
    if not (path / "MLmodel").is_file():
        raise Failure(f"'{uri}' is not a saved model: it has no file MLmodel. Name the directory that has it.")
    return path.resolve()
