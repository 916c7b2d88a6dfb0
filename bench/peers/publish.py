"""Writes the results of a run between two marks of a page."""

from pathlib import Path

from bench.peers.results import Subject
from bench.peers.table import markdown
from bench.peers.workload import Workload

BEGIN, END = "<!-- bench-peers: begin -->", "<!-- bench-peers: end -->"


def replace(page: Path, block: str) -> None:
    """Put a block between the marks. Raises ValueError for a page without them."""
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the results: '{BEGIN}' and '{END}' are missing.")
    page.write_text(f"{before}{BEGIN}\n{block.strip()}\n{END}{after}")


def readme_block(chart: Path) -> str:
    """The chart, for the front page."""
    return f"![Requests per second of Tidegate and its peers]({chart})"


def page_block(subjects: list[Subject], kinds: list[Workload], machine: dict[str, str], chart: Path) -> str:
    """The tables and the chart, for the benchmarks' page."""
    parts = [f"Measured on {machine['day']}: {sentence(machine)}.", f"![Requests per second of all servers]({chart})"]
    for kind in kinds:
        if any(s.workload == kind and s.runs for s in subjects):
            parts += [f"**{kind.title}**: requests/s ± half the spread of the rounds (p50, p99 in ms)"]
            parts += [markdown(subjects, kind.name)]
    failed = [f"- {s.peer.title}, {s.workload.title}: {s.failure[:200]}" for s in subjects if s.failure]
    if failed:
        parts.append("Not measured, or not in all rounds:\n\n" + "\n".join(failed))
    return "\n\n".join(parts)


def sentence(machine: dict[str, str]) -> str:
    """The machine in words."""
    return (
        f"{machine['cores']} cores ({machine['cpu']}) shared with the load generator, {machine['memory']}, "
        f"{machine['system']}, Python {machine['python']}"
    )
