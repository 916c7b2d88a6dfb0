"""From nothing to 3,000 requests/s on an endpoint at zero, and down to nothing again."""

from rich.console import Console

from bench import open_loop
from bench.arrivals import Step
from bench.claims import Claims
from bench.elastic.house import House, until
from bench.outcome import percentile, table

NAME, RATE, SMALL_RATE = "step", 3000, 500
BACK_SECONDS, BACK_MS = 5, 100


def run(house: House, claims: Claims, *, small: bool) -> None:
    """Measure on this platform; needs the model `wine`."""
    rate, seconds = (SMALL_RATE, 8) if small else (RATE, 20)
    house.launch(NAME, "wine", workload_size="Medium", idle_timeout_seconds=2)
    until(lambda: house.forks(NAME), "a template is warm", 120, pause=0.5)
    house.wait_at_zero(NAME, seconds=120)
    outcome = open_loop.run(house.target(NAME, house.requests["wine"]), [Step(rate, seconds)])
    Console().print(table(outcome, f"0 → {rate} requests/s"))
    claims.hold(
        f"0 → {rate} requests/s, 0 errors", f"{outcome.by_status} {dict(outcome.errors)}", met=not outcome.failed
    )
    late = outcome.latencies(lambda sample: sample.due >= BACK_SECONDS)
    p99 = percentile(late, 99) * 1000
    claims.hold(f"p99 under {BACK_MS} ms within {BACK_SECONDS} s", f"{p99:.1f} ms from then on", met=p99 < BACK_MS)
    back = next((row.number for row in outcome.series() if row.p99 * 1000 < BACK_MS), None)
    claims.tell("p99 under 100 ms for the first time in second", str(back))
    claims.tell("seconds to zero replicas afterwards", f"{house.wait_at_zero(NAME, seconds=120):.1f}")
    house.delete(NAME)
