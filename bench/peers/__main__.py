"""`python -m bench.peers`: Tidegate and its peers side by side."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import wrk
from bench.peers import models, report
from bench.peers.catalogue import chosen
from bench.peers.environments import Environments
from bench.peers.results import Subject
from bench.peers.rounds import Rounds
from bench.peers.verdicts import verdicts
from bench.peers.workload import workloads

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate" / "bench-peers"

console = Console(width=None if sys.stdout.isatty() else 180)


def main(
    only: Annotated[str, typer.Option(help="Peers or families of peers, with commas between; all by default.")] = "",
    workload: Annotated[str, typer.Option(help="iris, wide, bulk, with commas between.")] = "iris,wide,bulk",
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Of each measurement.")] = 4,
    connections: Annotated[str, typer.Option(help="With commas between.")] = "1,16,64,256",
    cache: Annotated[Path, typer.Option(help="Where environments and models are kept for the next run.")] = CACHE,
    minutes: Annotated[float, typer.Option(help="No further round begins after so long.")] = 60,
    check: Annotated[bool, typer.Option("--check", help="Fail when a claim is missed or a peer did not run.")] = False,
    publish: Annotated[bool, typer.Option("--publish", help="Write results and chart into docs and README.")] = False,
) -> None:
    """Measure Tidegate and its peers side by side: a table, a JSON file and a chart in bench/results."""
    wrk.binary()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are ended
    begin = time.monotonic()
    try:
        peers = chosen(_words(only))
        kinds = workloads(cache / models.key(), tuple(map(int, _words(connections))))
        wanted = [kinds[name] for name in _words(workload)]
    except (ValueError, KeyError) as error:
        raise typer.BadParameter(str(error)) from None
    environments = Environments(cache / "environments")
    models.train(environments, cache / models.key())
    subjects = [Subject(peer, kind) for kind in wanted for peer in peers if kind.name in peer.workloads]
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as scratch:
        measure = Rounds(environments, Path(scratch), seconds, _teller(begin))
        measure.prepare(subjects)
        done = measure.run(subjects, rounds, begin + 60 * minutes)
    report.show(console, subjects, wanted)
    options = {"rounds": done, "seconds": seconds, "connections": connections}
    report.save(console, subjects, wanted, options, publish=publish)
    missed = any(not verdict.met for verdict in verdicts(subjects)) or any(subject.failure for subject in subjects)
    raise typer.Exit(int(check and missed))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _teller(begin: float) -> Callable[[str], None]:
    def tell(what: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begin), 60)
        console.print(f"{minutes:3}:{seconds:02}  {what}", highlight=False)

    return tell


if __name__ == "__main__":
    typer.run(main)
