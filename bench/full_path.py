"""What the platform adds to a prediction: p50 of wrk on one connection, less that of the model's bare `predict`.

Both in interleaved rounds: the sample endpoint, and the same saved model in a process of its own, in the environment of
its replica and in the form of input that the replica uses. `python -m bench.full_path [--rounds N] [--seconds S]`.
Exits with 1 when it adds more than 0.3 ms.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import bare_predict, wrk
from bench.sample_platform import Sample, sample_platform

MOST_MILLISECONDS = 0.3


class Bare:
    """The model in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def p50(self, seconds: float) -> float:
        """Milliseconds of one `predict`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


@contextlib.contextmanager
def bare(sample: Sample, form: str) -> Iterator[Bare]:
    """Started in the environment that serves the endpoint; ended by the end of its input."""
    [file] = (sample.platform.data_dir / "targets").glob("*.json")
    environment = json.loads(file.read_text())["target"]["environment"]
    command = [environment["python"], "-I", bare_predict.__file__, environment["overlay"], sample.model_dir, form]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    assert process.stdin is not None
    process.stdin.write(" ".join(sample.body.split("\n")) + "\n")
    try:
        yield Bare(process)
    finally:
        process.stdin.close()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()


def form_of(sample: Sample) -> str:
    """What the replica gives its model: `ndarray` or `dataframe`."""
    [served] = sample.platform.get("wine")["config"]["served_entities"]
    return str(served["state"]["path"]["input"])


def measure(sample: Sample, model: Bare, rounds: int, seconds: float) -> tuple[list[float], list[float]]:
    """p50 of the full path and of the bare model, a pair a round."""
    full, alone = [], []
    wrk.run(sample.url, sample.body, 1, 1, sample.token)
    model.p50(1)
    for _ in range(rounds):
        figures = wrk.run(sample.url, sample.body, 1, seconds, sample.token)
        assert not figures.failed, figures
        full.append(figures.p50)
        alone.append(model.p50(seconds))
    return full, alone


def main(arguments: Sequence[str] = ()) -> int:
    """Print the table and the line `FIGURE …`; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    chosen = parser.parse_args(arguments)
    with sample_platform() as sample:
        form = form_of(sample)
        with bare(sample, form) as model:
            full, alone = measure(sample, model, chosen.rounds, chosen.seconds)
    table = Table(title=f"p50 in ms at 1 connection; input: {form}")
    for heading in ("full path", "bare predict", "overhead"):
        table.add_column(heading, justify="right")
    for one, other in zip(full, alone, strict=True):
        table.add_row(f"{one:.3f}", f"{other:.3f}", f"{one - other:.3f}")
    Console(width=80).print(table)
    overhead = statistics.median(one - other for one, other in zip(full, alone, strict=True))
    print(
        f"FIGURE overhead p50 {overhead:.3f} ms at 1 connection (at most {MOST_MILLISECONDS}): full path "
        f"{statistics.median(full):.3f}, bare predict ({form}) {statistics.median(alone):.3f}"
    )
    return int(overhead > MOST_MILLISECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
