"""`tidegate events`: what happened to an endpoint."""

from typing import TYPE_CHECKING

from tidegate.cli.connected import EndpointName, connected
from tidegate.cli.output import Format, OutputOption, local_time, print_json, print_table

if TYPE_CHECKING:
    from tidegate.cli.client import Client


@connected
def events(client: "Client", endpoint: EndpointName, output: OutputOption = Format.TABLE) -> None:
    """Show what happened to an endpoint, oldest first."""
    happened = client.events(endpoint)
    if output is Format.JSON:
        print_json(happened)
    else:
        rows = [(local_time(event["timestamp"]), event["type"], event["message"]) for event in happened]
        print_table(("TIME", "TYPE", "MESSAGE"), rows)
