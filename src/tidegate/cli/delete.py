"""`tidegate delete`: take an endpoint away."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.connection import connected

if TYPE_CHECKING:
    from tidegate.cli.client import Client


@connected
def delete(
    client: "Client",
    endpoint: str,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. On a pipe nothing is asked.")] = False,
) -> None:
    """Take an endpoint away. Its model stays in the registry."""
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        client.endpoint(endpoint)  # nobody is asked about what is not there
        typer.confirm(f"Delete endpoint '{endpoint}'? It stops answering at once", abort=True)
    client.delete(endpoint)
    typer.echo(f"Endpoint '{endpoint}' is deleted.")
