"""The options that every command that calls a server has, turned into a client of it."""

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from tidegate.cli.failure import Failure, Refused

if TYPE_CHECKING:
    from tidegate.cli.client import Client

EndpointName = Annotated[str, typer.Argument(metavar="ENDPOINT", help="The endpoint's name; see `tidegate list`.")]

P = ParamSpec("P")

_OPTIONS = {
    "url": Annotated[str, typer.Option(help="The server's URL. Without it, $TIDEGATE_URL or $DATABRICKS_HOST.")],
    "token": Annotated[
        str,
        typer.Option(
            help="The server's token, which then stands in the shell's history; better is --token-file. "
            "Without either, $TIDEGATE_TOKEN or $DATABRICKS_TOKEN."
        ),
    ],
    "token_file": Annotated[Path | None, typer.Option(help="A file with the server's token; - for standard input.")],
    "data_dir": Annotated[
        Path | None,
        typer.Option(help="The data directory of a server on this machine, which has both. [default: .tidegate]"),
    ],
}
_DEFAULTS = {"url": "", "token": "", "token_file": None, "data_dir": None}


def connected(command: "Callable[Concatenate[Client, P], None]") -> Callable[..., None]:
    """The command with --url, --token, --token-file and --data-dir in place of the client that it takes first."""

    @functools.wraps(command)
    def run(**arguments: object) -> None:
        from tidegate.cli.client import Client
        from tidegate.cli.find_server import ServerOptions, find, token_in

        given: dict[str, Any] = {name: arguments.pop(name) for name in _OPTIONS}
        if (file := given["token_file"]) is not None:
            if given["token"]:
                raise Failure("Give --token or --token-file, not both.")
            given["token"] = token_in(file)
        server = find(ServerOptions(**given), os.environ)
        with Client(server) as client:
            try:
                command(client, **arguments)  # type: ignore[call-arg, arg-type]
            except Refused as refused:
                raise _advised(refused, str(arguments.get("endpoint"))) from None

    own = list(inspect.signature(command).parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS[name], annotation=annotation)
        for name, annotation in _OPTIONS.items()
    ]
    # Typer reads these two to learn a command's parameters.
    run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    return run


def _advised(refused: Refused, endpoint: str) -> Failure:
    """The refusal; of an endpoint that is not there, in the words of the command line."""
    absent = f"There is no endpoint '{endpoint}'."
    if not refused.message.startswith(absent):
        return refused
    return Failure(f"{absent} See `tidegate list`, or make one with `tidegate launch`.")
