"""What commands print: tables and JSON for a person on a terminal, plain lines and raw JSON on a pipe."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """What `-o` chooses."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Format, typer.Option("--output", "-o", help="How to print the result.")]


def print_json(value: object) -> None:
    """One JSON document: indented and coloured on a terminal, one line on a pipe."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print_json(json.dumps(value))
    else:
        typer.echo(json.dumps(value))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table. On a pipe: its columns in the first line, fields separated by tabs, nothing shortened."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            typer.echo("\t".join(" ".join(cell.split()) for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: a cell's brackets are not markup
    Console().print(table)


def local_time(milliseconds: int) -> str:
    """A time of the API in this machine's zone, with the zone's offset: `2026-11-28 17:09:53+01:00`."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone().isoformat(" ", "seconds")
