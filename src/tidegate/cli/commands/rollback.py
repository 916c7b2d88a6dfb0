"""`tidegate rollback`: what an endpoint served before, once more."""

from typing import TYPE_CHECKING

import typer

from tidegate.cli.connected import EndpointName, connected
from tidegate.cli.progress import Progress

if TYPE_CHECKING:
    from tidegate.cli.client import Client


@connected
def rollback(client: "Client", endpoint: EndpointName) -> None:
    """Go back to what an endpoint served before."""
    from tidegate.cli.watch import Watch

    with Progress() as progress:
        watch = Watch(client, endpoint, progress)
        ended = watch.until_ended(client.rollback(endpoint))
    typer.echo(f"Endpoint '{endpoint}' serves {', '.join(served.uri for served in ended.serving)}.")
