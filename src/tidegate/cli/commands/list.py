"""`tidegate list`: all endpoints."""

from typing import TYPE_CHECKING

import typer

from tidegate.cli.connected import connected
from tidegate.cli.output import Format, OutputOption, local_time, print_json, print_table

if TYPE_CHECKING:
    from tidegate.cli.client import Client


@connected
def list_endpoints(client: "Client", output: OutputOption = Format.TABLE) -> None:
    """Show all endpoints."""
    endpoints = client.endpoints()
    if output is Format.JSON:
        print_json([endpoint.json for endpoint in endpoints])
    elif not endpoints:
        typer.echo("There are no endpoints yet. Make one with `tidegate launch models:/NAME/VERSION`.", err=True)
    else:
        rows = [
            (
                endpoint.name,
                endpoint.words,
                endpoint.replicas,
                ", ".join(entity.model for entity in endpoint.serving),
                local_time(endpoint.json.get("last_updated_timestamp", 0)),
            )
            for endpoint in endpoints
        ]
        print_table(("NAME", "STATE", "REPLICAS", "MODELS", "UPDATED"), rows)
