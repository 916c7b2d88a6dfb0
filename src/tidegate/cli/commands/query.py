"""`tidegate query`: one request to an endpoint."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.connected import EndpointName, connected
from tidegate.cli.failure import Failure
from tidegate.cli.output import print_json

if TYPE_CHECKING:
    from tidegate.cli.client import Client

_STDIN = "-"


@connected
def query(
    client: "Client",
    endpoint: EndpointName,
    data: Annotated[
        str,
        typer.Option(
            metavar="FILE|-",
            help="The request: a JSON file, a .csv file, or - for JSON on standard input (the default on a pipe). "
            "Without a request, the model's own example is sent.",
        ),
    ] = "",
) -> None:
    """Send one request and print the predictions."""
    body = _read(data) if data else _piped() or _example(client, endpoint)
    content_type = "text/csv" if Path(data).suffix.lower() == ".csv" else "application/json"
    answer = client.score(endpoint, body, content_type)
    try:
        parsed = json.loads(answer)
    except ValueError:
        raise Failure(f"What answers at {client.server.url} is not Tidegate. Name the server with --url.") from None
    if sys.stdout.isatty():
        print_json(parsed)
    else:
        typer.echo(answer)


def _piped() -> bytes:
    """What standard input has; empty on a terminal, and where it is closed or has nothing but white space."""
    if sys.stdin is None or sys.stdin.isatty():
        return b""
    body = sys.stdin.buffer.read()
    return body if body.strip() else b""


def _read(source: str) -> bytes:
    if source == _STDIN:
        if body := _piped():
            return body
        raise Failure("Standard input is empty. Pipe a request into the command, or name a file with --data.")
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise Failure(f"{source} cannot be read: {error.strerror}.") from None


def _example(client: "Client", endpoint: str) -> bytes:
    example = client.example(endpoint)
    if example is None:
        raise Failure(f"The model of endpoint '{endpoint}' has no example. Name a request with --data FILE.")
    typer.echo("Without --data, the model's own example is sent.", err=True)
    return json.dumps(example).encode()
