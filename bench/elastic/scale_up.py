"""From one replica to eight after a step of load, and their memory. The model waits: cores do not bound it."""

import statistics
import time

from bench.arrivals import Step
from bench.claims import Claims
from bench.elastic.house import House, pss, until
from bench.open_loop import Background

NAME, REPLICAS, WITHIN_SECONDS = "waits", 8, 2.0
WAIT = {"dataframe_records": [{"mood": "sleep 0.2"}]}
BEFORE, AFTER = Step(1, 5), Step(40, 20)  # 40 requests/s of 0.2 s each keep eight replicas busy
MEMORY_SHARE = 0.25


def run(house: House, claims: Claims, *, small: bool) -> None:
    """Measure on this platform; needs the model `moody`."""
    house.launch(NAME, "moody", max_provisioned_concurrency=REPLICAS, batching="off", idle_timeout_seconds=60)
    until(lambda: bool(house.ready(NAME)), "the first replica is ready")
    spawned = pss(house.ready(NAME)[0])  # the first one is started for its proof, without a template
    one = _memory(house)
    times = [_seconds_to_all(house, claims) for _ in range(1 if small else 3)]
    seconds = statistics.median(times)
    claim = f"from 1 to {REPLICAS} replicas after a step in < {WITHIN_SECONDS:g} s"
    claims.hold(claim, f"{seconds:.2f} s ({', '.join(f'{each:.2f}' for each in times)})", met=seconds < WITHIN_SECONDS)
    forked = (_memory(house) - one) / max(1, len(house.ready(NAME)) - 1)
    measured = f"{forked:.1f} MB of {spawned:.1f} MB"
    claims.hold(
        "a forked replica more in memory (PSS), at most ¼ of a spawned one", measured, met=forked <= spawned / 4
    )
    house.delete(NAME)


def _memory(house: House) -> float:
    """PSS of this endpoint's replicas and of all templates, in MB: what is shared counts once."""
    return house.memory(f"tidegate: replica {NAME} ") + house.memory("tidegate: template")


def _seconds_to_all(house: House, claims: Claims) -> float:
    """From the step until the eighth replica can predict. Ends at one replica again."""
    until(lambda: len(house.ready(NAME)) == 1, "one replica", 300, pause=0.2)
    with Background(house.target(NAME, WAIT), BEFORE.rate):
        time.sleep(BEFORE.seconds)
    began = time.monotonic()
    ready_at: list[float] = []
    with Background(house.target(NAME, WAIT), AFTER.rate) as load:
        while time.monotonic() - began < AFTER.seconds and len(ready_at) < REPLICAS:
            found = len(house.ready(NAME))
            ready_at += [time.monotonic() - began] * (found - len(ready_at))
            time.sleep(0.005)
    claims.tell("replicas ready, seconds after the step", ", ".join(f"{at:.2f}" for at in ready_at))
    claims.tell("requests meanwhile", f"{load.outcome.by_status} {dict(load.outcome.errors)}")
    return ready_at[-1] if len(ready_at) == REPLICAS else float("inf")
