"""What a run leaves: tables in the terminal, a JSON file, a chart, and on demand the page in the documentation."""

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench.peers import chart, publish, results
from bench.peers.results import Subject
from bench.peers.table import rich_table
from bench.peers.verdicts import verdicts
from bench.peers.workload import Workload

ROOT = Path(__file__).parents[2]
RESULTS, PAGE, README = ROOT / "bench" / "results", ROOT / "docs" / "benchmarks.md", ROOT / "README.md"
CHART = ROOT / "docs" / "images" / "benchmarks.png"
_CHART_CONNECTIONS = 64


def show(console: Console, subjects: list[Subject], kinds: list[Workload]) -> None:
    """Print the tables, what failed, and the claims as lines `FIGURE …`."""
    for kind in kinds:
        if any(subject.workload == kind and subject.runs for subject in subjects):
            console.print(rich_table(subjects, kind.name, kind.title))
    for subject in subjects:
        if subject.failure:
            title = f"{subject.peer.title}, {subject.workload.title}"
            console.print(f"not started: {title}: {subject.failure}", markup=False, highlight=False)
    for verdict in verdicts(subjects):
        print(verdict)


def save(
    console: Console, subjects: list[Subject], kinds: list[Workload], options: dict[str, object], *, publish: bool
) -> None:
    """Write JSON and chart to bench/results; with `publish` the chart and the tables into the documentation."""
    name = f"peers-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    results.write(RESULTS / f"{name}.json", subjects, options)
    drawn = _draw(RESULTS / f"{name}.png", subjects)
    console.print(f"{RESULTS / name}.json{' and .png' if drawn else ''}", highlight=False)
    if publish:
        _publish(subjects, kinds)


def _draw(path: Path, subjects: list[Subject]) -> bool:
    machine = results.machine()
    note = f"{publish.sentence(machine)}; {machine['day']}"
    return chart.draw(path, subjects, _CHART_CONNECTIONS, note)


def _publish(subjects: list[Subject], kinds: list[Workload]) -> None:
    if _draw(CHART, subjects):
        publish.replace(README, publish.readme_block(CHART.relative_to(README.parent)))
    publish.replace(PAGE, publish.page_block(subjects, kinds, results.machine(), CHART.relative_to(PAGE.parent)))
