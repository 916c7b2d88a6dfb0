"""The sample platform at full load for ten minutes: does any process grow, and what costs most in those that serve?

`python -m bench.soak [--minutes M]`. wrk keeps 64 connections busy; the memory (PSS) of every process is read each five
seconds. After a minute of warm-up, a straight line through the samples of each tells its growth. At the end, still
under load, py-spy watches gateway and replica. Exits with 1 when a process grows or an answer failed.
"""

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench import profile, wrk
from bench.memory import Growth, Watch
from bench.profile import Cost
from bench.sample_platform import Sample, sample_platform

CONNECTIONS = 64
SAMPLE_SECONDS = 5.0
SETTLE_SECONDS = 5.0  # what only starts the platform has ended by then
WARM_UP_MINUTES = 1.0
PROFILE_SECONDS = 15
# At 20,000 requests a second, a leak of one byte a request is 1,170 KiB a minute.
FLAT_KIB_PER_MINUTE = 100.0
SHOWN_COSTS = 12
NEXT_COSTS = 3

console = Console(width=None if sys.stdout.isatty() else 140)


class Load(threading.Thread):
    """wrk for so long, beside the measurements. `figures` are there once it has ended."""

    def __init__(self, sample: Sample, seconds: float) -> None:
        super().__init__(daemon=True)
        self._sample, self._seconds = sample, seconds
        self.figures: wrk.Figures | None = None

    def run(self) -> None:
        self.figures = wrk.run(self._sample.url, self._sample.body, CONNECTIONS, self._seconds, self._sample.token)


def watch(sample: Sample, minutes: float) -> list[Growth]:
    """Sample every process for so long, with a bar that shows how far it is."""
    time.sleep(SETTLE_SECONDS)
    watched = Watch({pid: short(title) for pid, title in sample.platform.processes().items()})
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    began, ends = time.monotonic(), time.monotonic() + minutes * 60
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(f"{CONNECTIONS} connections", total=minutes * 60)
        while time.monotonic() < ends:
            elapsed = time.monotonic() - began
            watched.sample(elapsed / 60)
            bar.update(task, completed=elapsed)
            time.sleep(SAMPLE_SECONDS)
    return list(watched.growths.values())


def short(title: str) -> str:
    """`gateway 0`: a process's title without the platform's name; a program's name for a foreign one."""
    if title.startswith("tidegate: "):
        return title.removeprefix("tidegate: ")
    return " ".join(os.path.basename(word) for word in title.split()[:4])[:40]  # noqa: PTH119 - words of a command line


def profiles(sample: Sample) -> dict[str, list[Cost]]:
    """The costs of gateway and replica, one after the other."""
    served = {name: sample.platform.pid_of(f"tidegate: {name}") for name in ("gateway 0", "replica wine")}
    return {name: profile.record(pid, PROFILE_SECONDS) for name, pid in served.items()}


def show_growth(growths: Sequence[Growth]) -> None:
    """The table, and a line `FIGURE …` for each process."""
    table = Table(title=f"memory under load, after {WARM_UP_MINUTES:g} minute of warm-up")
    for heading in ("process", "PSS at the end, MiB", "KiB a minute", "growth in all, KiB", "minutes"):
        table.add_column(heading, justify="left" if heading == "process" else "right")
    for growth in growths:
        span = growth.minutes[-1] - growth.minutes[0]
        cells = (f"{growth.kib[-1] / 1024:.1f}", f"{growth.slope:+.1f}", f"{growth.total:+.0f}", f"{span:.1f}")
        table.add_row(growth.title, *cells)
        print(
            f"FIGURE memory, {growth.title}: {cells[0]} MiB, {cells[1]} KiB a minute, {cells[2]} KiB in {cells[3]} min"
        )
    console.print(table)


def show_costs(found: dict[str, list[Cost]]) -> None:
    """A table for each process, and a line `FIGURE …` with its next costs."""
    for name, costs in found.items():
        table = Table(title=f"{name}: self time by function, idle time left out")
        table.add_column("%", justify="right")
        table.add_column("function")
        for cost in costs[:SHOWN_COSTS]:
            table.add_row(f"{cost.share:.1%}", cost.function)
        console.print(table)
        told = ", ".join(f"{cost.function} {cost.share:.1%}" for cost in costs[:NEXT_COSTS])
        print(f"FIGURE next costs, {name}: {told}")


def main(arguments: Sequence[str] = ()) -> int:
    """Soak for ten minutes, or as told; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="of sampling, the warm-up included")
    minutes = parser.parse_args(arguments).minutes
    wrk.binary()
    with sample_platform() as sample:
        load = Load(sample, minutes * 60 + 2 * PROFILE_SECONDS + 2 * SETTLE_SECONDS)
        load.start()
        growths = [growth.after(min(WARM_UP_MINUTES, minutes / 2)) for growth in watch(sample, minutes)]
        found = profiles(sample)
        load.join()
    assert load.figures is not None
    show_growth(growths)
    show_costs(found)
    growing = [growth.title for growth in growths if growth.slope > FLAT_KIB_PER_MINUTE]
    print(f"FIGURE soak of {minutes:g} minutes: {load.figures}; growing: {', '.join(growing) or 'none'}")
    return int(bool(growing) or load.figures.failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
