"""`python -m bench.suite.times [--times 3]`: how long `make check && make test` takes, and whether it passes each time.

Machines differ, and a shared one differs from hour to hour. Beside the suite a fixed piece of work is timed, and the
share of the processor that the host gave to others (steal) is told: with both, two runs can be compared.
"""

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bench.claims import Claims

MOST_SECONDS = 480.0
_ROOT = Path(__file__).parents[2]
_PIECE, _EVERY_SECONDS = b"x" * 2**24, 10.0


def main() -> int:
    """Returns how many runs failed or took too long."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--tree", type=Path, default=_ROOT, help="another clone, to compare with")
    chosen = parser.parse_args()
    claims = Claims()
    idle = statistics.median(piece_of_work() for _ in range(20))
    claims.tell("the fixed piece of work, before", f"{idle * 1000:.1f} ms of processor time")
    for number in range(1, chosen.times + 1):
        with Beside() as beside:
            check, checked = _timed(chosen.tree, "check")
            test, tested = _timed(chosen.tree, "test")
        told = f"{check:.0f} + {test:.0f} = {check + test:.0f} s, {beside.told()}"
        passed = checked and tested
        claims.hold(
            f"run {number}: make check && make test pass within {MOST_SECONDS:g} s",
            told if passed else f"{told}, failed",
            met=passed and check + test <= MOST_SECONDS,
        )
    return len(claims.missed)


def _timed(tree: Path, target: str) -> tuple[float, bool]:
    """The seconds that a target takes, and whether it succeeds. What it prints is shown."""
    began = time.monotonic()
    environ = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", target], cwd=tree, env=environ, stdin=subprocess.DEVNULL, check=False)
    return time.monotonic() - began, done.returncode == 0


def piece_of_work() -> float:
    """Seconds of processor time for always the same work: 16 MiB through SHA-256."""
    began = time.thread_time()
    hashlib.sha256(_PIECE).digest()
    return time.thread_time() - began


@dataclass
class Beside:
    """Looks at the machine while something else runs on it."""

    pieces: list[float] = field(default_factory=list)
    steal: float = 0.0

    def __enter__(self) -> Self:
        self._begin = _ticks()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        all_ticks, stolen = (end - begin for begin, end in zip(self._begin, _ticks(), strict=True))
        self.steal = stolen / max(1, all_ticks)

    def told(self) -> str:
        """Both in words."""
        middle = statistics.median(self.pieces) * 1000 if self.pieces else 0.0
        return f"steal {self.steal:.1%}, the piece of work {middle:.1f} ms"

    def _look(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            self.pieces.append(piece_of_work())


def _ticks() -> tuple[int, int]:
    """Clock ticks of all processors since boot: all of them, and those that the host gave to others."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(numbers), numbers[7]


if __name__ == "__main__":
    sys.exit(main())
