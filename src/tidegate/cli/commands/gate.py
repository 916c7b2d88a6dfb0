"""`tidegate gate`: what an endpoint's gate found last, and what it is to hold back."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.connected import EndpointName, connected
from tidegate.cli.output import Format, OutputOption, print_json, print_table
from tidegate.core.endpoint.gate_policy import GateMode

if TYPE_CHECKING:
    from tidegate.cli.client import Client
    from tidegate.cli.endpoint_view import Json

Mode = Annotated[
    GateMode | None,
    typer.Option("--mode", help="What to hold back: nothing, what breaks callers, or changed answers too."),
]
Share = Annotated[
    float | None,
    typer.Option("--max-changed-share", min=0, max=1, help="The share of answers that may change under strict."),
]
Record = Annotated[bool | None, typer.Option("--record/--no-record", help="Whether gateways record requests.")]


@connected
def gate(
    client: "Client",
    endpoint: EndpointName,
    mode: Mode = None,
    max_changed_share: Share = None,
    record: Record = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show what an endpoint's gate found, or change it."""
    asked = {"mode": mode and mode.value, "max_changed_share": max_changed_share, "record": record}
    shown = client.gate(endpoint, {key: value for key, value in asked.items() if value is not None})
    if output is Format.JSON:
        print_json(shown)
        return
    policy, report = shown["policy"], shown["report"]
    typer.echo(_policy(policy))
    if report is None:
        typer.echo("It has not compared any version yet.")
        return
    compared = any(told["requests"] for told in report["served_entities"].values())
    if report["verdict"] == "passed" and not compared:
        typer.echo("\nThe newest version was not compared: no requests were recorded.")
    else:
        typer.echo(f"\nThe newest version {_VERDICTS[report['verdict']]}, under `{report['mode']}`.")
    for reason in report["reasons"]:
        typer.echo(f"- {reason}.")
    if compared:
        typer.echo("")
        columns = [tuple(_column(told)) for told in report["served_entities"].values()]
        print_table(("", *report["served_entities"]), list(zip(_ROWS, *columns, strict=True)))


_VERDICTS = {"passed": "passed", "held_back": "was held back", "forced": "was forced"}
_ROWS = ("replayed", "failed", "compared", "changed", "new nulls", "schema", "latency", "memory")


def _policy(policy: "Json") -> str:
    share = f"{policy['max_changed_share'] * 100:g} %"
    strict = f": at most {share} of the answers may change" if policy["mode"] == "strict" else ""
    kept = "" if policy["record"] else "; no requests are recorded, so it compares nothing"
    return f"The gate is `{policy['mode']}`{strict}{kept}."


def _column(told: "Json") -> Iterator[str]:
    """What was found of one served entity, in the order of the rows."""
    answers, latency, memory = told["answers"], told["latency"], told["memory"]
    yield f"{told['requests']} in {told['seconds']:.2f} s"
    yield str(sum(told[kind]["count"] for kind in ("errors", "crashes", "hangs")))
    yield str(answers["compared"])
    yield str(answers["changed"])
    yield str(answers["new_nulls"])
    yield "changed" if told["schema"]["changes"] else "same" if answers["compared"] else ""
    yield _pair(latency["before_ms"], latency["after_ms"], lambda value: f"{value:.2f} ms")
    yield _pair(memory["before_bytes"], memory["after_bytes"], lambda value: f"{value / 1e6:.0f} MB")


def _pair(before: float | None, after: float | None, told: Any) -> str:
    return "" if before is None or after is None else f"{told(before)} → {told(after)}"
