"""The sample endpoint beside `mlflow models serve` of the same model: interleaved rounds of wrk, medians.

MLflow gets its bytecode compiled and the server that it recommends (uvicorn, one worker; its default).
"""

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from bench import wrk
from bench.sample_platform import sample_platform

ROUNDS, SECONDS, CONNECTIONS = 3, 4, (1, 16, 64)


@contextlib.contextmanager
def mlflow_serve(model_dir: str) -> Iterator[str]:
    """`mlflow models serve` on a loopback port; ended by its process id."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model_dir, "-p", str(port)]
    # MLflow starts `uvicorn` by its name.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        [*command, "--env-manager", "local"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not _answers(f"http://127.0.0.1:{port}/ping"):
            if time.monotonic() > deadline:
                raise SystemExit("mlflow models serve did not start")
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url).status_code == 200
    return False


def main() -> None:
    """Print the table, and a line `FIGURE …` for each number of connections."""
    table = Table(title="requests/s (p50, p99 in ms)")
    for heading in ("connections", "Tidegate", "mlflow models serve", "ratio"):
        table.add_column(heading, justify="right")
    with sample_platform() as sample, mlflow_serve(sample.model_dir) as mlflow_url:
        served = {"tidegate": (sample.url, sample.token), "mlflow": (mlflow_url, "")}
        for url, token in served.values():
            wrk.run(url, sample.body, 16, 2, token)
        for connections in CONNECTIONS:
            runs: dict[str, list[wrk.Figures]] = {name: [] for name in served}
            for _ in range(ROUNDS):
                for name, (url, token) in served.items():
                    runs[name].append(wrk.run(url, sample.body, connections, SECONDS, token))
            row = {name: _median(figures) for name, figures in runs.items()}
            ratio = row["tidegate"].requests_per_second / row["mlflow"].requests_per_second
            table.add_row(str(connections), _cell(row["tidegate"]), _cell(row["mlflow"]), f"{ratio:.1f}×")
            print(f"FIGURE {connections} connections: {row['tidegate']} beside MLflow {row['mlflow']}: {ratio:.2f}")
    Console(width=120).print(table)


def _median(figures: list[wrk.Figures]) -> wrk.Figures:
    return wrk.Figures(
        statistics.median(f.requests_per_second for f in figures),
        statistics.median(f.p50 for f in figures),
        statistics.median(f.p99 for f in figures),
        sum(f.failed for f in figures),
    )


def _cell(figures: wrk.Figures) -> str:
    failed = f", {figures.failed} failed" if figures.failed else ""
    return f"{figures.requests_per_second:,.0f} ({figures.p50:.2f}, {figures.p99:.2f}{failed})"


if __name__ == "__main__":
    main()
