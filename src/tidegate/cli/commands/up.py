"""`tidegate up`: the platform itself, in this process and its children."""

import os
from pathlib import Path
from typing import Annotated

import typer

_CONFIG = Path("tidegate.toml")


def up(
    host: Annotated[str | None, typer.Option(help="The address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on. [default: 8080]")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="The directory of all data and logs. [default: .tidegate]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The settings file. [default: tidegate.toml, if it exists]")
    ] = None,
    registry_uri: Annotated[
        str | None, typer.Option(help="The URI of an MLflow registry. [default: one that Tidegate runs]")
    ] = None,
    store_uri: Annotated[
        str | None, typer.Option(help="The URL of a database. [default: SQLite in the data directory]")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="What runs the models. [default: local]")] = None,
    gateways: Annotated[
        int | None, typer.Option(help="The number of gateway processes on the port. [default: 1]")
    ] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Launch a sample model if the registry is empty.")] = False,
) -> None:
    """Start the platform and serve until Ctrl-C or SIGTERM."""
    from tidegate import settings_loading, supervisor

    overrides: settings_loading.Overrides = {
        "server": {"host": host, "port": port, "data_dir": data_dir, "gateways": gateways},
        "registry": {"uri": registry_uri},
        "store": {"uri": store_uri},
        "engine": {"kind": engine},
    }
    raise typer.Exit(supervisor.run(settings_loading.load(os.environ, settings_file(config), overrides), sample=sample))


def settings_file(named: Path | None) -> Path | None:
    """The settings file: the one named, or tidegate.toml where there is one."""
    return named or (_CONFIG if _CONFIG.exists() else None)
