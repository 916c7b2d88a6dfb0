"""The rows of `tidegate top`, from the API's JSON."""

from collections.abc import Sequence

from tidegate.cli.endpoint_view import Json
from tidegate.cli.failure import Failure

COLUMNS = ("NAME", "VERSION", "STATE", "REQ/S", "P50 MS", "P99 MS", "ERRORS %", "REPLICAS")
SORTS = ("requests", "name", "p99", "errors", "replicas")
_KEYS = {"requests": "requests_per_second", "p99": "p99_ms", "errors": "error_share", "replicas": "replicas"}


def sorted_by(rows: Sequence[Json], sort: str) -> list[Json]:
    """The rows in this order: the largest first, and names from a to z. Raises Failure."""
    if sort not in SORTS:
        raise Failure(f"--sort is one of {', '.join(SORTS)}.")
    ordered = sorted(rows, key=lambda row: str(row["name"]))
    return ordered if sort == "name" else sorted(ordered, key=lambda row: row[_KEYS[sort]] or 0.0, reverse=True)


def cells(row: Json) -> tuple[str, ...]:
    """The cells of a row, in the order of COLUMNS."""
    return (
        str(row["name"]),
        str(row["version"]),
        str(row["state"]),
        _number(row["requests_per_second"]),
        _number(row["p50_ms"]),
        _number(row["p99_ms"]),
        _number(row["error_share"] * 100),
        str(row["replicas"]),
    )


def steps(row: Json) -> list[tuple[str, float]]:
    """The steps of an endpoint's requests with their mean durations, ms."""
    return [(str(name), float(spent)) for name, spent in row["steps_ms"].items()]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if value >= 100 or not value:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"
