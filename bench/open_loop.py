"""An open-loop load generator: a request is sent when it is due, whatever became of those before it.

Latency counts from when a request was *due*, so that a server which stalls is charged for all that should have been
sent meanwhile (no "coordinated omission"). Raw sockets on uvloop, whose timers have a resolution of 1 ms: the latencies
include it.

`python -m bench.open_loop URL --rate 3000 --seconds 30 --data FILE`, or `--step RATE:SECONDS` as often as needed.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import uvloop
from rich.console import Console

from bench.arrivals import Step, arrivals
from bench.outcome import Outcome, percentile, table
from bench.senders import PATIENCE_SECONDS, OpenLoop, Target

_LONG = 1e9
_COLUMNS = ("due", "seconds", "statuses", "kinds", "late")


def run(target: Target, steps: Sequence[Step], *, poisson: bool = False, processes: int = 1) -> Outcome:
    """Send by these steps and return what became of it. Several processes share the rate."""
    if processes > 1:
        return _run_in_processes(target, steps, poisson, processes)
    loop = OpenLoop(target)  # made outside of its loop: it only holds
    uvloop.run(loop.run(arrivals(steps, poisson=poisson)))
    return loop.outcome


class Background:
    """Sends `rate` requests a second for the length of a `with`, from a thread of its own."""

    def __init__(self, target: Target, rate: float) -> None:
        self._loop = OpenLoop(target)
        self._stop = threading.Event()
        due = arrivals([Step(rate, _LONG)])
        self._thread = threading.Thread(target=lambda: uvloop.run(self._loop.run(due, stop=self._stop)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS + 10)

    @property
    def outcome(self) -> Outcome:
        """What became of the requests so far."""
        return self._loop.outcome


# --- several processes


def _run_in_processes(target: Target, steps: Sequence[Step], poisson: bool, processes: int) -> Outcome:
    share = [replace(step, rate=step.rate / processes) for step in steps]
    job = {
        "url": target.url, "token": target.token, "connections": max(1, target.connections // processes),
        "bodies": [body.decode() for body in target.bodies], "steps": [[s.rate, s.seconds] for s in share],
        "poisson": poisson, "start_at": time.monotonic() + 1.0,
    }  # fmt: skip
    children = []
    for seed in range(processes):
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.open_loop", "--child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdin is not None
        child.stdin.write(json.dumps({**job, "seed": seed}))
        child.stdin.close()
        children.append(child)
    whole = Outcome()
    for child in children:
        with child:
            assert child.stdout is not None
            whole.merge(_outcome(json.load(child.stdout)))
    return whole


def _child() -> int:
    """Be one of several processes: the job on standard input, the outcome on standard output."""
    job = json.load(sys.stdin)
    bodies = tuple(body.encode() for body in job["bodies"])
    loop = OpenLoop(Target(job["url"], bodies, job["token"], job["connections"]))
    steps = [Step(*step) for step in job["steps"]]
    uvloop.run(loop.run(arrivals(steps, poisson=job["poisson"], seed=job["seed"]), job["start_at"]))
    columns = {name: getattr(loop.outcome, name) for name in _COLUMNS}
    json.dump({**columns, "errors": dict(loop.outcome.errors)}, sys.stdout)
    return 0


def _outcome(told: dict[str, Any]) -> Outcome:
    return Outcome(**{name: told[name] for name in _COLUMNS}, errors=Counter(told["errors"]))


# --- command line


def main(arguments: Sequence[str]) -> int:
    """Run as told; print the seconds and the whole. Returns 1 when a request failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument(
        "--step", type=Step.parse, action="append", help="RATE:SECONDS; instead of --rate and --seconds"
    )
    parser.add_argument("--data", default="-", help="a file with the body, or - for standard input")
    parser.add_argument("--token", default="")
    parser.add_argument("--poisson", action="store_true", help="random gaps instead of even ones")
    parser.add_argument("--connections", type=int, default=1024, help="at most so many")
    parser.add_argument("--processes", type=int, default=1)
    chosen = parser.parse_args(arguments)
    body = sys.stdin.buffer.read() if chosen.data == "-" else Path(chosen.data).read_bytes()
    target = Target(chosen.url, (body,), chosen.token, chosen.connections)
    steps = chosen.step or [Step(chosen.rate, chosen.seconds)]
    outcome = run(target, steps, poisson=chosen.poisson, processes=chosen.processes)
    Console().print(table(outcome, f"{len(outcome)} requests, {chosen.url}"))
    late = percentile(outcome.late, 99) * 1e3
    print(f"statuses {outcome.by_status}; sent late by {late:.1f} ms at the 99th percentile")
    for error, times in outcome.errors.most_common(10):
        print(f"{times} × {error}")
    return int(outcome.failed > 0)


if __name__ == "__main__":
    sys.exit(_child() if sys.argv[1:] == ["--child"] else main(sys.argv[1:]))
