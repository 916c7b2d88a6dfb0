"""A line for a shell that queries an endpoint."""

import json
import shlex

import typer

from tidegate.cli.client import scoring_path
from tidegate.cli.find_server import Server


def curl_line(server: Server, name: str, example: object = None) -> str:
    """The line; it sends the example, or else the file row.json. The token is written as the shell finds it."""
    data = shlex.quote(json.dumps(example)) if example is not None else "@row.json"
    return (
        f'curl -H "Authorization: Bearer {server.token_in_shell}" -H "Content-Type: application/json" '
        f"-d {data} {shlex.quote(server.public_url + scoring_path(name))}"
    )


def print_curl_line(server: Server, name: str, example: object = None) -> None:
    """Print the line; without an example, say on standard error what stands in for one."""
    typer.echo(curl_line(server, name, example))
    if example is None:
        typer.echo("row.json stands for a file with your request. docs/api.md has the forms.", err=True)
