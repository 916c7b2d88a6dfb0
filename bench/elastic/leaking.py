"""A model that leaks memory under load: each replica is replaced at its limit, and no request may be lost."""

from bench import open_loop
from bench.arrivals import Step
from bench.claims import Claims
from bench.elastic.hanging import FINE
from bench.elastic.house import House
from bench.outcome import percentile

NAME, RATE, SECONDS, SMALL_SECONDS = "leaking", 20, 90, 30
LIMIT_GB = 0.5  # the platform's `engine.memory_gb`
LEAKS = {"dataframe_records": [{"mood": "keep 20"}]}  # one in twenty: 20 MB a second


def run(house: House, claims: Claims, *, small: bool) -> None:
    """Measure on a platform with that limit; needs the model `moody`."""
    house.launch(NAME, "moody", batching="off", idle_timeout_seconds=60)
    seconds = SMALL_SECONDS if small else SECONDS
    outcome = open_loop.run(house.target(NAME, *[FINE] * 19, LEAKS), [Step(RATE, seconds)])
    replaced = [event["message"] for event in house.events(NAME) if event["type"] == "memory_limit"]
    lost = f"{outcome.failed} of {len(outcome)} {dict(outcome.errors)}"
    claim = f"a leaking replica was replaced {len(replaced)} times under load, 0 requests lost"
    claims.hold(claim, lost, met=bool(replaced) and not outcome.failed)
    for message in replaced[:1]:
        claims.tell("what its owner is told", message)
    claims.tell("slowest request while it leaked", f"{percentile(outcome.latencies(), 100):.2f} s")
    house.delete(NAME)
