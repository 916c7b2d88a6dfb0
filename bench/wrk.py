"""Runs `wrk` (Debian's package of that name) against a scoring URL."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

PATIENCE_SECONDS = 10  # an answer that takes longer has failed


@dataclass(frozen=True)
class Figures:
    """What one run of wrk measured. Latencies in milliseconds."""

    requests_per_second: float
    p50: float
    p99: float
    failed: int


def binary() -> str:
    """The path of wrk; ends the program with what to do where there is none."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("This benchmark needs wrk: apt-get install wrk")
    return found


def run(url: str, body: str, connections: int, seconds: float, token: str = "") -> Figures:
    """POST `body` from so many connections for so long."""
    script = [
        'wrk.method = "POST"',
        f"wrk.body = [==[{body}]==]",
        'wrk.headers["Content-Type"] = "application/json"',
        *([f'wrk.headers["Authorization"] = "Bearer {token}"'] if token else []),
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write("\n".join(script))
        file.flush()
        options = ["-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "--timeout", f"{PATIENCE_SECONDS}s"]
        output = subprocess.run(
            [binary(), *options, "-s", file.name, url],
            capture_output=True, text=True, check=True, timeout=seconds + 60,
        ).stdout  # fmt: skip
    return parse(output)


def parse(output: str) -> Figures:
    """The figures in wrk's report."""

    def milliseconds(percentile: str) -> float:
        found = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)\s*$", output, re.MULTILINE)
        assert found is not None, output
        return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[found[2]]

    rate = re.search(r"^Requests/sec:\s+([\d.]+)$", output, re.MULTILINE)
    assert rate is not None, output
    answers = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    socket = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    failed = (int(answers[1]) if answers else 0) + (sum(map(int, socket.groups())) if socket else 0)
    return Figures(float(rate[1]), milliseconds("50"), milliseconds("99"), failed)
