"""What came of the traces, as a table between two marks of a page."""

from collections.abc import Iterable

from bench.simulator.model import Outcome

BEGIN, END = "<!-- simulator: begin -->", "<!-- simulator: end -->"


def with_table(text: str, outcomes: Iterable[Outcome]) -> str:
    """The page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{_table(outcomes)}\n{END}{after}"


def _table(outcomes: Iterable[Outcome]) -> str:
    rows = ["| trace | scale events | at most | most replicas | 99 of 100 waited less than |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        trace, most = outcome.trace, max(row[2] for row in outcome.rows)
        waited = f"{outcome.p99_wait:.2f} s"
        rows.append(f"| {trace.title} | {len(outcome.changes)} | {trace.most_events} | {most} | {waited} |")
    return "\n".join(rows)
