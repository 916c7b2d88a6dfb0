"""Play the traces: a table of scale events for each, and pictures with `--draw DIRECTORY`.

python -m bench.simulator [--only NAME[,NAME]] [--draw docs/images]
"""

import argparse
from pathlib import Path

from bench.simulator.chart import draw
from bench.simulator.model import Outcome, run
from bench.simulator.traces import TRACES


def main() -> int:
    """Returns how many traces caused more scale events than they may."""
    parser = argparse.ArgumentParser("bench.simulator")
    parser.add_argument("--only", default="")
    parser.add_argument("--draw", type=Path)
    arguments = parser.parse_args()
    names = set(filter(None, arguments.only.split(",")))
    outcomes = [run(trace) for trace in TRACES if not names or trace.name in names]
    for outcome in outcomes:
        _tell(outcome)
        if arguments.draw:
            draw(arguments.draw / f"scaling-{outcome.trace.name}.png", outcome)
    print(f"{'trace':16}{'events':>8}{'at most':>9}{'p99 wait, s':>13}{'replica-hours':>15}")
    for outcome in outcomes:
        trace = outcome.trace
        hours = outcome.replica_seconds / 3600
        print(f"{trace.name:16}{len(outcome.changes):8}{trace.most_events:9}{outcome.p99_wait:13.2f}{hours:15.2f}")
        print(f"FIGURE elasticity simulator {trace.name}: {len(outcome.changes)} events (at most {trace.most_events})")
    return sum(len(outcome.changes) > outcome.trace.most_events for outcome in outcomes)


def _tell(outcome: Outcome) -> None:
    print(f"== {outcome.trace.name}: {outcome.trace.title}")
    for change in outcome.changes:
        print(f"{change.at:9.2f} s  {change.before:3} → {change.after:<3} {change.reason}")


if __name__ == "__main__":
    raise SystemExit(main())
