"""`tidegate gate`: what an endpoint's gate found last, and what it is to hold back."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.connection import EndpointName, connected
from tidegate.cli.output import Format, OutputOption, print_json, print_table
from tidegate.core.gate_policy import GateMode

if TYPE_CHECKING:
    from tidegate.cli.client import Client
    from tidegate.cli.endpoint import Json

Mode = Annotated[GateMode | None, typer.Option("--mode", help="Hold back so much from now on.")]
Share = Annotated[
    float | None, typer.Option("--max-changed-share", min=0, max=1, help="The share of answers that may change.")
]
Record = Annotated[bool | None, typer.Option("--record/--no-record", help="Whether requests are kept.")]


@connected
def gate(
    client: "Client",
    endpoint: EndpointName,
    mode: Mode = None,
    max_changed_share: Share = None,
    record: Record = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show what an endpoint's gate found last; change what it holds back."""
    asked = {"mode": mode and mode.value, "max_changed_share": max_changed_share, "record": record}
    shown = client.gate(endpoint, {key: value for key, value in asked.items() if value is not None})
    if output is Format.JSON:
        print_json(shown)
        return
    policy, report = shown["policy"], shown["report"]
    typer.echo(_policy(policy))
    if report is None:
        typer.echo("It has not looked at anything yet.")
        return
    typer.echo(f"\nThe newest {_VERDICTS[report['verdict']]}, under `{report['mode']}`.")
    for reason in report["reasons"]:
        typer.echo(f"- {reason}.")
    if report["served_entities"]:
        typer.echo("")
        print_table(_COLUMNS, [tuple(_row(name, told)) for name, told in report["served_entities"].items()])


_VERDICTS = {"passed": "passed", "held_back": "was held back", "forced": "was forced"}
_COLUMNS = ("NAME", "REPLAYED", "FAILED", "COMPARED", "CHANGED", "NEW NULLS", "SCHEMA", "LATENCY", "MEMORY")


def _policy(policy: "Json") -> str:
    strict = f", of at most {policy['max_changed_share']:.1%} changed answers" if policy["mode"] == "strict" else ""
    kept = "" if policy["record"] else "; no requests are kept, so nothing is replayed"
    return f"The gate is `{policy['mode']}`{strict}{kept}."


def _row(name: str, told: "Json") -> Iterator[str]:
    answers, latency, memory = told["answers"], told["latency"], told["memory"]
    yield name
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
