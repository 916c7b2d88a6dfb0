"""20 requests/s of which one in twenty hangs for ever: the others are answered as if nothing were."""

from bench import open_loop
from bench.arrivals import Step
from bench.claims import Claims
from bench.elastic.house import House, until
from bench.outcome import percentile

NAME, RATE, SECONDS, SMALL_SECONDS = "hanging", 20, 60, 10
FINE = {"dataframe_records": [{"mood": "fine"}]}
HANGS = {"dataframe_records": [{"mood": "sleep 3600"}]}


def run(house: House, claims: Claims, *, small: bool) -> None:
    """Measure on this platform; needs the model `moody`."""
    steps = [Step(RATE, SMALL_SECONDS if small else SECONDS)]
    house.launch(NAME, "moody", workload_size="Medium", timeout_seconds=0.5, idle_timeout_seconds=60)
    until(lambda: bool(house.ready(NAME)), "a replica is ready")
    open_loop.run(house.target(NAME, FINE), [Step(RATE, 3)])  # not the first requests of its life
    baseline = open_loop.run(house.target(NAME, FINE), steps)
    mixed = open_loop.run(house.target(NAME, *[FINE] * 10, HANGS, *[FINE] * 9), steps)
    others = [sample for sample in mixed if sample.kind != 10]
    failed = sum(not sample.ok for sample in others)
    hung = sorted({sample.status for sample in mixed if sample.kind == 10})
    claims.tell("requests that hang, statuses", str(hung))
    claims.hold("one in twenty hangs: the others all 200", f"{failed} of {len(others)} failed", met=not failed)
    was = percentile(baseline.latencies(), 99) * 1000
    now = percentile([sample.seconds for sample in others], 99) * 1000
    claim = "p99 of the others < 2 × baseline + 5 ms"
    claims.hold(claim, f"{now:.1f} ms, baseline {was:.1f} ms", met=now < 2 * was + 5)
    house.delete(NAME)
