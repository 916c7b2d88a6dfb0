"""What counting costs: a request, a report of busy endpoints, and its taking by control: `python -m bench.metering`.

Times are of the processor, the least of several rounds. `--endpoints` is how many are busy, with 10 requests a second
each. The last lines are about a ledger of 10,000 accounts.
"""

import argparse
import gc
import random
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import msgspec
import psutil

from tidegate.core.planes.load_report import LoadReport
from tidegate.gateway.metering.ledger import Ledger
from tidegate.gateway.metering.meter import Meter
from tidegate.gateway.scoring import responses

ROUNDS, REQUESTS, ACCOUNTS = 20, 10, 10_000
STEPS = responses.steps_of(b"batch=4\nwait=130\ndecode=240\npredict=410\nencode=120")


def processor_time(call: Callable[[], object]) -> float:
    """The seconds of one call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def traffic(meter: Meter, endpoints: int, source: random.Random) -> None:
    """A second's requests to each endpoint."""
    for number in range(endpoints):
        endpoint = meter.endpoint(f"endpoint-{number}")
        for _ in range(REQUESTS):
            endpoint.accept()
            endpoint["v1"].answer_ok(source.lognormvariate(-6, 0.5), 0.0003, STEPS, 100, 50)


def a_request(meter: Meter) -> float:
    """Seconds of counting one request, from its acceptance to its answer's `Server-Timing`."""
    source, endpoint = random.Random(1), meter.endpoint("wine")
    endpoint.slowest.above = 3600.0  # none is slow, as most are not
    latencies = [source.lognormvariate(-6, 0.7) for _ in range(2000)]
    metas = [b"batch=%d\nwait=%d\ndecode=120\npredict=340\nencode=30" % (1 + n % 8, 100 + n % 50) for n in range(400)]

    def count() -> None:
        for seconds, meta in zip(latencies, cycle(metas), strict=False):
            endpoint.accept()
            steps = responses.steps_of(meta)
            endpoint["v1"].answer_ok(seconds, 0.0003, steps, 100, 20)
            if seconds > endpoint.slowest.above:
                raise AssertionError
            responses.server_timing(steps, 0.0003, seconds)

    return min(processor_time(count) for _ in range(2 * ROUNDS)) / len(latencies)


def reports(meter: Meter, endpoints: int) -> tuple[float, float, int]:
    """Seconds of a gateway's report, and of control's taking it, and the report's bytes."""
    source, decoder = random.Random(1), msgspec.json.Decoder(LoadReport)
    traffic(meter, endpoints, source)
    sent = meter.report("t", {})
    known, made, taken, size = sent, [], [], 0
    for _ in range(ROUNDS):
        traffic(meter, endpoints, source)
        gc.collect()
        began = time.process_time()
        report = meter.report("t", {}, whole=False)
        line = msgspec.json.encode(report.since(sent))
        made.append(time.process_time() - began)
        began = time.process_time()
        known = decoder.decode(line).onto(known)
        taken.append(time.process_time() - began)
        sent, size = report, len(line)
    return min(made), min(taken), size


def large(path: Path) -> str:
    """What a ledger of ACCOUNTS accounts costs."""
    memory = psutil.Process().memory_info
    before, meter = memory().rss, Meter(0, 1, Ledger(path))
    traffic(meter, ACCOUNTS // 2, random.Random(1))
    used, parts, longest = memory().rss - before, meter.parts(), 0.0
    while True:
        began = time.process_time()
        if next(parts, None) is None:
            break
        longest = max(longest, time.process_time() - began)
    opened = processor_time(lambda: Ledger(path))
    return (
        f"file {path.stat().st_size / 1e6:.0f} MB, memory {used / 1e6:.0f} MB, opened in {opened * 1e3:.0f} ms, "
        f"longest part of a whole report {longest * 1e3:.1f} ms"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=1000)
    endpoints = parser.parse_args().endpoints
    with tempfile.TemporaryDirectory() as folder:
        print(f"FIGURE counting a request: {a_request(Meter(0, 1, Ledger(Path(folder) / '0.bin'))) * 1e6:.2f} µs")
        made, taken, size = reports(Meter(0, 1, Ledger(Path(folder) / "1.bin")), endpoints)
        told = f"made in {made * 1e3:.1f} ms, taken in {taken * 1e3:.1f} ms, {size / 1e3:.0f} kB"
        print(f"FIGURE a report of {endpoints:,} busy endpoints: {told}")
        print(f"FIGURE a ledger of {ACCOUNTS:,} accounts: {large(Path(folder) / '2.bin')}")


if __name__ == "__main__":
    main()
