"""Play the traces: every scale event with its reason, and a line for each trace.

`--write` draws the pictures in `docs/images`, and writes the table of `docs/scaling.md`.

python -m bench.simulator [--only NAME[,NAME]] [--write]
"""

import argparse
from pathlib import Path

from bench.simulator import page
from bench.simulator.chart import draw
from bench.simulator.model import Outcome, run
from bench.simulator.traces import TRACES

DOCS = Path(__file__).parents[2] / "docs"


def main() -> int:
    """Returns how many traces caused more scale events than they may."""
    parser = argparse.ArgumentParser("bench.simulator")
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    names = set(filter(None, arguments.only.split(",")))
    outcomes = [run(trace) for trace in TRACES if not names or trace.name in names]
    for outcome in outcomes:
        _tell(outcome)
    if arguments.write:
        for outcome in outcomes:
            draw(DOCS / "images" / f"scaling-{outcome.trace.name}.png", outcome)
        if not names:
            text = (DOCS / "scaling.md").read_text()
            (DOCS / "scaling.md").write_text(page.with_table(text, outcomes))
    return sum(len(outcome.changes) > outcome.trace.most_events for outcome in outcomes)


def _tell(outcome: Outcome) -> None:
    trace = outcome.trace
    print(f"== {trace.name}: {trace.title}")
    for change in outcome.changes:
        print(f"{change.at:9.2f} s  {change.before:3} → {change.after:<3} {change.reason}")
    print(
        f"FIGURE simulator {trace.name}: {len(outcome.changes)} scale events (at most {trace.most_events}), "
        f"p99 of waits {outcome.p99_wait:.2f} s, {outcome.replica_seconds / 3600:.2f} replica-hours"
    )


if __name__ == "__main__":
    raise SystemExit(main())
