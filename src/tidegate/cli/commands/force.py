"""`tidegate force`: what the gate held back, all the same."""

from typing import TYPE_CHECKING

import typer

from tidegate.cli.connected import EndpointName, connected
from tidegate.cli.progress import Progress

if TYPE_CHECKING:
    from tidegate.cli.client import Client


@connected
def force(client: "Client", endpoint: EndpointName) -> None:
    """Switch to the version that the gate held back."""
    from tidegate.cli.watch import Watch

    with Progress() as progress:
        watch = Watch(client, endpoint, progress)
        ended = watch.until_ended(client.force(endpoint))
    typer.echo(f"Endpoint '{endpoint}' serves {', '.join(served.uri for served in ended.serving)}.")
