"""The results as tables: in the terminal, and in Markdown."""

from collections.abc import Iterable

from rich.table import Table

from bench.peers.peer import Kind
from bench.peers.results import Subject

_ORDER = {Kind.OURS: 0, Kind.PEER: 1, Kind.LIMIT: 2}


def in_order(subjects: Iterable[Subject], workload: str) -> list[Subject]:
    """Those with figures for a workload: ours, the peers by their rate, the limits."""
    fitting = [s for s in subjects if s.workload.name == workload and s.runs]
    return sorted(fitting, key=lambda s: (_ORDER[s.peer.kind], -_rate(s)))


def _rate(subject: Subject) -> float:
    rates = {n: figures.requests_per_second for n in subject.runs if (figures := subject.median(n))}
    return rates.get(64, max(rates.values()))


def columns(subjects: Iterable[Subject]) -> list[int]:
    """The numbers of connections."""
    return sorted({connections for subject in subjects for connections in subject.runs})


def cell(subject: Subject, connections: int) -> str:
    """`12,345 ±2 % (0.34, 0.50)`: requests/s, half the spread of the rounds, p50 and p99 in ms; and what failed."""
    figures = subject.median(connections)
    if figures is None:
        return ""
    failed = f", {figures.failed:,} failed" if figures.failed else ""
    spread = f" ±{50 * subject.spread(connections):.0f} %" if len(subject.runs[connections]) > 1 else ""
    rate = f"{figures.requests_per_second:,.{0 if figures.requests_per_second >= 10 else 1}f}"
    return f"{rate}{spread} ({number(figures.p50)}, {number(figures.p99)}{failed})"


def number(milliseconds: float) -> str:
    """Two or three digits, no more."""
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:,.0f}"


def rich_table(subjects: list[Subject], workload: str, title: str) -> Table:
    """For the terminal."""
    rows = in_order(subjects, workload)
    table = Table(title=f"{title}: requests/s, ± half the spread (p50, p99 in ms)", title_justify="left")
    table.add_column("")
    for connections in columns(rows):
        table.add_column(_heading(connections), justify="right")
    for subject in rows:
        cells = [cell(subject, connections) for connections in columns(rows)]
        table.add_row(subject.peer.title, *cells, style="bold" if subject.peer.kind is Kind.OURS else None)
    return table


def markdown(subjects: list[Subject], workload: str) -> str:
    """For the documentation."""
    rows = in_order(subjects, workload)
    heads = [_heading(connections) for connections in columns(rows)]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for subject in rows:
        title = f"**{subject.peer.title}**" if subject.peer.kind is Kind.OURS else subject.peer.title
        lines.append(f"| {title} | " + " | ".join(cell(subject, n) for n in columns(rows)) + " |")
    return "\n".join(lines)


def _heading(connections: int) -> str:
    return f"{connections} connection{'s' if connections > 1 else ''}"
