"""`tidegate show`: one endpoint, what it serves and what is on its way."""

from typing import TYPE_CHECKING

import typer

from tidegate.cli.connected import EndpointName, connected
from tidegate.cli.output import Format, OutputOption, local_time, print_json, print_table

if TYPE_CHECKING:
    from tidegate.cli.client import Client
    from tidegate.cli.endpoint_view import ConfigView, EndpointView, Json, ServedView


@connected
def show(client: "Client", endpoint: EndpointName, output: OutputOption = Format.TABLE) -> None:
    """Show one endpoint."""
    from tidegate.cli.client import scoring_path

    shown = client.endpoint(endpoint)
    if output is Format.JSON:
        print_json(shown.json)
        return
    typer.echo(f"{shown.name}: {shown.words}")
    typer.echo(f"{client.server.public_url}{scoring_path(shown.name)}")
    created, updated = (local_time(shown.json.get(key, 0)) for key in ("creation_timestamp", "last_updated_timestamp"))
    typer.echo(f"created {created} by {shown.json.get('creator', '')}, updated {updated}")
    if description := shown.json.get("description"):
        typer.echo(description)
    sections = _sections(shown)
    if shown.message not in ("", *(served.message for _, config in sections for served in config)):
        typer.echo(shown.message)
    for title, config in sections:
        held_back = title == _FAILED and shown.held_back
        if rows := [_row(config, served, held_back=held_back) for served in config]:
            typer.echo(f"\n{title}:")
            print_table(_COLUMNS, rows)
        if title != _FAILED:
            for sentence in filter(None, (served.following for served in config)):
                typer.echo(sentence)
    if parked := client.parked(endpoint):
        typer.echo(f"\n{_parked(endpoint, parked)}")
    if replicas := client.replicas(endpoint):
        typer.echo("\nReplicas:")
        print_table(_REPLICA_COLUMNS, [_replica_row(replica) for replica in replicas])


_FAILED = "Failed"
_COLUMNS = ("NAME", "MODEL", "SIZE", "SCALE TO ZERO", "TRAFFIC", "STATE", "MESSAGE")

_REPLICA_COLUMNS = ("ID", "NAME", "STATE", "STARTED", "BY", "MEMORY", "CPU")


def _parked(endpoint: str, parked: "Json") -> str:
    """What is parked, and until when."""
    from tidegate.cli.endpoint_view import ConfigView

    models, until = ", ".join(served.uri for served in ConfigView(parked)), parked["replicas_until"]
    kept = "without replicas" if until is None else f"with its replicas until {local_time(until)}"
    return f"Parked: {models}, {kept}. `tidegate rollback {endpoint}` brings it back."


def _replica_row(replica: "Json") -> tuple[str, ...]:
    memory = replica["memory_bytes"]
    return (
        replica["id"],
        replica["served_entity"],
        replica["state"],
        local_time(replica["started_at"]),
        "fork" if replica["forked"] else "spawn",
        f"{memory / 1e6:.0f} MB" if memory else "",
        f"{replica['cpu_seconds']:.1f} s" if memory else "",
    )


def _sections(endpoint: "EndpointView") -> "tuple[tuple[str, ConfigView], ...]":
    later = (("On its way", endpoint.coming), (_FAILED, endpoint.failed))
    return later if endpoint.never_served else (("Serving", endpoint.serving), *later)


def _row(config: "ConfigView", served: "ServedView", *, held_back: bool) -> tuple[str, ...]:
    share = config.share(served)
    state = "held back" if held_back else served.deployment.removeprefix("DEPLOYMENT_").lower()
    return (
        served.name,
        served.model,
        str(served.json.get("workload_size") or ""),
        "yes" if served.json.get("scale_to_zero_enabled") else "no",
        "" if share is None else f"{share} %",
        state,
        served.message,
    )
