"""Cold starts: requests to endpoints at zero, beside `mlflow models serve` from its start to its first answer.

Some endpoints of one model take turns: each goes to zero a second after its answer, and is asked again then. One
request at a time, client-side, over a connection that is there already.
`python -m bench.cold_starts [--times 1000] [--others 100] [--endpoints 12] [--only tabular,…]`.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from rich.progress import Progress
from tests.e2e.test_zoo import environment

from bench.against_mlflow import mlflow_serve
from bench.claims import Claims
from bench.cold_request import Caller, Cold
from bench.elastic.house import House, elastic_house, until
from bench.outcome import percentile

KINDS: dict[str, tuple[str, ...]] = {  # of the zoo, with what a data scientist has to install to log it
    "tabular": (),
    "xgboost": ("mlflow", "xgboost"),
    "lightgbm": ("mlflow", "lightgbm"),
    "onnx": ("mlflow", "onnx", "onnxruntime"),
    "custom": (),
}
TURNS = 12  # endpoints of one model: while one is asked, the others go to zero
P50_MS, P99_MS, TIMES_MLFLOW, MLFLOW_ROUNDS = 110, 300, 40, 5


@dataclass
class Colds:
    """Cold requests of one kind. `warm` counts those that found a replica although none was to be seen."""

    name: str
    asked: list[Cold] = field(default_factory=list)
    warm: int = 0

    @property
    def errors(self) -> int:
        """Answers other than 200."""
        return sum(cold.status != 200 for cold in self.asked)

    def milliseconds(self, percent: float) -> float:
        """A percentile over all of them."""
        return percentile([cold.seconds for cold in self.asked], percent) * 1000

    def steps(self) -> str:
        """The medians of what `server-timing` had."""
        found: dict[str, list[float]] = defaultdict(list)
        for cold in self.asked:
            for name, milliseconds in cold.steps.items():
                found[name].append(milliseconds)
        return ", ".join(f"{name} {statistics.median(values):.1f}" for name, values in found.items())

    def measured(self) -> str:
        """What came out, in a line."""
        p50, p99, longest = (f"{self.milliseconds(percent):.0f} ms" for percent in (50, 99, 100))
        return f"p50 {p50}, p99 {p99}, longest {longest}, {self.errors} errors"

    def tell(self, claims: Claims) -> None:
        """Say what came out where only errors are ruled out."""
        claims.hold(f"{len(self.asked)} cold requests, {self.name}: 0 errors", self.measured(), met=not self.errors)

    def claim(self, claims: Claims) -> None:
        """Say what came out, and whether it is fast enough."""
        p50, p99, measured = self.milliseconds(50), self.milliseconds(99), self.measured()
        met = p50 < P50_MS and p99 < P99_MS and not self.errors
        claims.hold(f"{len(self.asked)} cold requests, {self.name}: p50 < {P50_MS}, p99 < {P99_MS}", measured, met=met)
        claims.tell(f"{self.name}: median phases in ms", self.steps() or "none in server-timing")
        if self.warm:
            claims.tell(f"{self.name}: further requests that found a replica", str(self.warm))


def ask(house: House, model: str, endpoints: Sequence[str], times: int, progress: Progress) -> Colds:
    """So many cold requests, by turns."""
    colds, caller = Colds(model), Caller(house.platform)
    caller.call(endpoints[0], house.requests[model])  # the template may still import: that is measured by itself
    task = progress.add_task(f"{model}: cold requests", total=times)
    with contextlib.closing(caller):
        while len(colds.asked) < times:
            for endpoint in endpoints:
                house.wait_at_zero(endpoint)
                cold = caller.call(endpoint, house.requests[model])
                if cold.cold or cold.status != 200:
                    colds.asked.append(cold)
                    progress.advance(task)
                else:
                    colds.warm += 1
                if len(colds.asked) >= times:
                    break
    return colds


@contextlib.contextmanager
def endpoints_of(house: House, model: str, count: int = TURNS) -> Iterator[list[str]]:
    """Endpoints of that model, at zero; deleted after the `with`."""
    names = [f"{model}-{number}" for number in range(count)]
    house.launch(names[0], model)  # the others find its environment
    for name in names[1:]:
        house.create(name, model)
    for name in names[1:]:
        house.platform.settled(name)
    until(lambda: all(map(house.forks, names)), "a template is warm", 120, pause=0.5)
    house.wait_at_zero(*names)
    try:
        yield names
    finally:
        house.delete(*names)


def ask_without_template(house: House, model: str, endpoints: Sequence[str], times: int, progress: Progress) -> Colds:
    """The same, each time after the template was ended."""
    colds, caller = Colds(f"{model}, template away"), Caller(house.platform)
    task = progress.add_task(f"{model}: template away", total=times)
    with contextlib.closing(caller):
        for number in range(times):
            endpoint = endpoints[number % len(endpoints)]
            house.wait_at_zero(endpoint)
            end_templates(house)
            colds.asked.append(caller.call(endpoint, house.requests[model]))
            progress.advance(task)
    return colds


def end_templates(house: House) -> None:
    """End every template, and wait until they are gone."""
    titles = house.platform.processes()
    ended = [psutil.Process(pid) for pid, title in titles.items() if title.startswith("tidegate: template")]
    for process in ended:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    until(lambda: not any(process.is_running() for process in ended), "templates end", 10, pause=0.005)


def mlflow_seconds(house: House, model: str, endpoint: str) -> float:
    """From the start of `mlflow models serve` to its first answer: the median of some rounds."""
    files = (house.platform.data_dir / "targets").glob("*.json")
    targets = [json.loads(file.read_text())["target"] for file in files]
    model_dir = next(target["model_dir"] for target in targets if target["endpoint"] == endpoint)
    rounds = []
    for _ in range(MLFLOW_ROUNDS):
        began = time.monotonic()
        with mlflow_serve(model_dir) as url:
            httpx.post(url, json=house.requests[model], timeout=60).raise_for_status()
            rounds.append(time.monotonic() - began)
    return statistics.median(rounds)


def measure(kinds: Sequence[str], times: int, others: int, claims: Claims, count: int = TURNS) -> None:
    """All kinds on one platform; scikit-learn first, with MLflow and the evicted template beside it."""
    with tempfile.TemporaryDirectory() as folder, elastic_house() as house, Progress() as progress:
        for kind in kinds:
            python = [environment(Path(folder) / kind, "3.11", *KINDS[kind])] if KINDS[kind] else []
            house.add_model(kind, kind, *python)
            with endpoints_of(house, kind, count) as endpoints:
                colds = ask(house, kind, endpoints, times if kind == "tabular" else others, progress)
                colds.claim(claims)
                if kind == "tabular":
                    beside(house, colds, endpoints[0], claims)
                    ask_without_template(house, kind, endpoints, others, progress).tell(claims)


def beside(house: House, colds: Colds, endpoint: str, claims: Claims) -> None:
    """The same model under MLflow's own server."""
    seconds = mlflow_seconds(house, colds.name, endpoint)
    ratio = seconds * 1000 / colds.milliseconds(50)
    claim = f"faster at p50 than `mlflow models serve` to its first answer, at least {TIMES_MLFLOW}×"
    claims.hold(claim, f"{ratio:.0f}× ({seconds:.2f} s)", met=ratio >= TIMES_MLFLOW)


def main(arguments: Sequence[str] = ()) -> int:
    """Returns how many claims were missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=1000, help="cold requests for scikit-learn")
    parser.add_argument("--others", type=int, default=100, help="of every other kind")
    parser.add_argument("--endpoints", type=int, default=TURNS, help="of each kind, which take turns")
    parser.add_argument("--only", default=",".join(KINDS), help=f"of {', '.join(KINDS)}, with commas between")
    chosen = parser.parse_args(arguments)
    claims = Claims()
    kinds = [kind for kind in KINDS if kind in chosen.only.split(",")]
    measure(kinds, chosen.times, chosen.others, claims, chosen.endpoints)
    return len(claims.missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
