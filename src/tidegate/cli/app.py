"""The command `tidegate`: its verbs, one file each, and what is printed when one of them fails.

Nothing heavy is imported here or by those files: `--help` and `--version` answer at once.
"""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tidegate import __version__
from tidegate.cli.commands.delete import delete
from tidegate.cli.commands.doctor import doctor
from tidegate.cli.commands.enable import disable, enable
from tidegate.cli.commands.enabled import enabled
from tidegate.cli.commands.events import events
from tidegate.cli.commands.force import force
from tidegate.cli.commands.gate import gate
from tidegate.cli.commands.launch import launch
from tidegate.cli.commands.list import list_endpoints
from tidegate.cli.commands.logs import logs
from tidegate.cli.commands.query import query
from tidegate.cli.commands.rollback import rollback
from tidegate.cli.commands.show import show
from tidegate.cli.commands.top import top
from tidegate.cli.commands.up import up
from tidegate.cli.commands.update import update
from tidegate.cli.failure import Failure
from tidegate.core.errors import TidegateError


class Commands(TyperGroup):
    """The verbs. An expected failure ends with its sentence on standard error and exit status 1, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (Failure, TidegateError) as failure:
            typer.echo(failure.message, err=True)
            if isinstance(failure, Failure) and failure.details:
                typer.echo(f"\n{failure.details}", err=True)
            sys.exit(1)


# Plain help: drawing it with Rich takes longer than the rest of the command.
app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tidegate {__version__}")
        raise typer.Exit


@app.callback()
def tidegate(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Serve MLflow models as REST endpoints on your own machine."""


for command in (
    up,
    launch,
    query,
    update,
    rollback,
    force,
    gate,
    delete,
    enable,
    disable,
    enabled,
    show,
    top,
    logs,
    events,
    doctor,
):
    app.command()(command)
app.command("list")(list_endpoints)
