"""`tidegate top`: what all endpoints do now, once or live."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.activity_view import COLUMNS, cells, sorted_by
from tidegate.cli.connected import connected
from tidegate.cli.output import print_table

if TYPE_CHECKING:
    from tidegate.cli.client import Client


@connected
def top(
    client: "Client",
    once: Annotated[bool, typer.Option("--once", help="Print one table and end; so it is on a pipe.")] = False,
    sort: Annotated[str, typer.Option(help="requests, name, p99, errors or replicas.")] = "requests",
) -> None:
    """Show live what all endpoints do."""
    if once or not sys.stdout.isatty():
        rows = sorted_by(client.activity(), sort)
        print_table(COLUMNS, [cells(row) for row in rows])
        if not rows:
            typer.echo("There are no endpoints yet. Make one with `tidegate launch models:/NAME/VERSION`.", err=True)
        return
    from tidegate.cli.top_screen import TopScreen  # half a second of imports, for this command alone

    TopScreen(client, sort).run()
