"""`tidegate delete`: take an endpoint away."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.connected import EndpointName, connected
from tidegate.cli.failure import Failure

if TYPE_CHECKING:
    from tidegate.cli.client import Client


@connected
def delete(
    client: "Client",
    endpoint: EndpointName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Needed without a terminal.")] = False,
) -> None:
    """Delete an endpoint. Its model stays in the registry."""
    if not yes:
        if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):  # None: it is closed
            raise Failure(
                f"Endpoint '{endpoint}' was not deleted: the command cannot ask without a terminal. Give --yes."
            )
        client.endpoint(endpoint)  # nobody is asked about what is not there
        typer.confirm(f"Delete endpoint '{endpoint}'? It stops answering at once", abort=True)
    client.delete(endpoint)
    typer.echo(f"Endpoint '{endpoint}' is deleted.")
