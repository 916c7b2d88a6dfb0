"""The page shows what the simulator finds."""

from pathlib import Path

from bench.simulator.model import run
from bench.simulator.page import with_table
from bench.simulator.traces import TRACES

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_of_the_page_is_the_simulators() -> None:
    text = (DOCS / "scaling.md").read_text()
    assert with_table(text, [run(trace) for trace in TRACES]) == text


def test_every_trace_has_its_picture_on_the_page() -> None:
    text = (DOCS / "scaling.md").read_text()
    assert all(f"images/scaling-{trace.name}.png" in text for trace in TRACES)
