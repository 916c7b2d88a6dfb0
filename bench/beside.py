"""This checkout beside another one: CPU time per request at 64 connections, and cold requests, in interleaved rounds.

Both platforms run at once with the sample model; each is measured while the other has nothing to do. The median of the
rounds' ratios is what counts: machines are noisy, and both of a pair have the same noise.
`python -m bench.beside OTHER_CHECKOUT [--rounds 7] [--seconds 4] [--colds 16]`.
"""

import argparse
import contextlib
import os
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.progress import track
from tests.e2e.running_platform import Platform

from bench import wrk
from bench.claims import Claims
from bench.cold_request import Caller

CONNECTIONS, ENDPOINTS = 64, 4
MOST_CPU, MOST_COLD = 1.03, 1.05


@dataclass(frozen=True)
class Side:
    """A platform with the sample endpoint, and some more of its model that sleep."""

    platform: Platform
    body: str

    def cpu_per_request(self, seconds: float) -> float:
        """Microseconds of all its processes."""
        before = self._cpu_seconds()
        url = f"{self.platform.url}/serving-endpoints/wine/invocations"
        figures = wrk.run(url, self.body, CONNECTIONS, seconds, self.platform.token)
        if figures.failed:
            raise SystemExit(f"{figures.failed} requests failed.")
        return (self._cpu_seconds() - before) / (figures.requests_per_second * seconds) * 1e6

    def cold_seconds(self, times: int) -> float:
        """The median of so many cold requests, one after the other."""
        found: list[float] = []
        with contextlib.closing(Caller(self.platform)) as caller:
            for number in range(times):
                name = f"cold-{number % ENDPOINTS}"
                self._wait_at_zero(name)
                cold = caller.send(name, self.body)
                if cold.status != 200:
                    raise SystemExit(f"A cold request was answered {cold.status}: {cold.text}")
                found += [cold.seconds] if cold.cold else []
        return statistics.median(found)

    def _cpu_seconds(self) -> float:
        total = 0.0
        for pid in self.platform.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = psutil.Process(pid).cpu_times()
                total += times.user + times.system
        return total

    def _wait_at_zero(self, name: str) -> None:
        until = time.monotonic() + 60
        while any(f"replica {name} " in title for title in self.platform.processes().values()):
            if time.monotonic() > until:
                raise SystemExit(f"{name} does not go to zero.")
            time.sleep(0.05)
        time.sleep(0.3)  # a template forks ahead once it has nothing to do


@contextlib.contextmanager
def side(checkout: Path, variables: Mapping[str, str] | None = None) -> Iterator[Side]:
    """The platform of a checkout, with this one's packages; ended after the `with`. `variables` go before its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(variables or {})
        before = [environment["PYTHONPATH"]] if "PYTHONPATH" in environment else []
        environment["PYTHONPATH"] = os.pathsep.join([*before, str(checkout / "src")])
        platform = Platform(Path(folder) / "data", "--sample", environment=environment).start()
        try:
            words = shlex.split(platform.wait_for_line("curl ", 300))
            for number in range(ENDPOINTS):
                platform.launch(f"cold-{number}", "wine", scale_to_zero_enabled=True, idle_timeout_seconds=1)
            yield Side(platform, words[words.index("-d") + 1])
        finally:
            platform.stop()


def main(arguments: Sequence[str] = ()) -> int:
    """Returns how many claims were missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", type=Path, help="the checkout to compare with")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0, help="of load in each round")
    parser.add_argument("--colds", type=int, default=16, help="cold requests in each round")
    chosen = parser.parse_args(arguments)
    wrk.binary()
    claims, cpu, cold = Claims(), [], []
    with side(Path(__file__).parents[1]) as this, side(chosen.other) as other:
        for one in (this, other):
            one.cpu_per_request(chosen.seconds)  # warm
            one.cold_seconds(2 * ENDPOINTS)
        for turn in track(range(chosen.rounds), "rounds"):
            order = (this, other) if turn % 2 else (other, this)
            cpu.append({one: one.cpu_per_request(chosen.seconds) for one in order})
            cold.append({one: one.cold_seconds(chosen.colds) for one in order})
    for name, rounds, unit, most in (("CPU per request", cpu, 1.0, MOST_CPU), ("cold p50", cold, 1e3, MOST_COLD)):
        ratio = statistics.median(pair[this] / pair[other] for pair in rounds)
        mine, theirs = (statistics.median(pair[one] for pair in rounds) * unit for one in (this, other))
        told = f"{ratio:.3f} ({mine:.1f} beside {theirs:.1f} {'µs' if unit == 1.0 else 'ms'}, {len(rounds)} rounds)"
        claims.hold(f"{name}, ratio to the other checkout at most {most}", told, met=ratio <= most)
    return len(claims.missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
