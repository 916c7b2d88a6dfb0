"""`python -m bench.deadlines [--small]`: nobody is ended for being slow, nobody waits behind one that hangs.

A model whose requests are predicted together sleeps for as long as its rows say, or hangs: with its alarm, or without.
"""

import argparse
import sys
import time
from collections.abc import Callable

from bench import open_loop
from bench.arrivals import Step
from bench.claims import Claims
from bench.elastic.house import House, elastic_house, until
from bench.outcome import Outcome, percentile

MODEL = "crowded"
FINE, SLEEPS, HANGS, DEAF = "fine", "sleep 0.01", "sleep 3600", "deaf"


def rows(mood: str, count: int = 1) -> dict[str, object]:
    """A request."""
    return {"dataframe_records": [{"x": n / 4, "mood": mood} for n in range(count)]}


def ended(house: House, endpoint: str) -> list[str]:
    """What is told of replicas that ended without being asked to."""
    return [event["message"] for event in house.events(endpoint) if event["type"] == "replica_ended"]


def ask(house: House, endpoint: str, request: object) -> float:
    """Seconds of one request that must be answered."""
    began = time.monotonic()
    answer = house.platform.score(endpoint, request, timeout=60)
    if answer.status_code != 200:
        raise SystemExit(f"{endpoint}: {answer.text}")
    return time.monotonic() - began


def cold_rows(house: House, claims: Claims, *, small: bool) -> None:
    """300 rows at 6 ms a row, right after a scale to zero."""
    name, times, request = "cold-rows", 3 if small else 7, rows("sleep 0.006", 300)
    house.launch(name, MODEL)
    until(lambda: house.forks(name), "its replicas are forked")
    warm = percentile([ask(house, name, request) for _ in range(times)], 50)
    cold = []
    for _ in range(times):
        house.wait_at_zero(name)
        cold.append(ask(house, name, request))
    claim = "300 rows at 6 ms a row right after a scale to zero < 1.1 × warm"
    median = percentile(cold, 50)
    claims.hold(claim, f"{median:.3f} s, warm {warm:.3f} s, slowest {max(cold):.3f} s", met=median < 1.1 * warm)
    _nobody_ended(house, claims, name)


def slow_one(house: House, claims: Claims, *, small: bool) -> None:
    """A model of 10 ms at 50 requests/s, one of which takes 10 s."""
    name, rate, seconds, slow = "slow-one", 50, 15 if small else 60, 3 if small else 10
    house.launch(name, MODEL, timeout_seconds=30, idle_timeout_seconds=60)
    until(lambda: house.forks(name), "its replicas are forked")
    open_loop.run(house.target(name, rows(SLEEPS)), [Step(rate, 3)])  # not the first requests of its life
    baseline = open_loop.run(house.target(name, rows(SLEEPS)), [Step(rate, seconds)])
    count = rate * seconds
    bodies = [rows(SLEEPS)] * count
    bodies[count // 5] = rows(f"sleep {slow}")
    mixed = open_loop.run(house.target(name, *bodies), [Step(rate, seconds)])
    _hold_others(claims, f"one of {slow} s among {count} of 10 ms", baseline, mixed, {count // 5})
    [one] = [sample for sample in mixed if sample.kind == count // 5]
    claims.hold(f"the one of {slow} s is answered", f"{one.status} after {one.seconds:.1f} s", met=one.ok)
    _nobody_ended(house, claims, name)


def hanging(house: House, claims: Claims, *, small: bool) -> None:
    """20 requests/s, one in twenty hangs for ever."""
    name, steps = "hanging", [Step(20, 15 if small else 60)]
    house.launch(name, MODEL, workload_size="Medium", timeout_seconds=2, idle_timeout_seconds=60)
    until(lambda: house.forks(name), "its replicas are forked")
    open_loop.run(house.target(name, rows(FINE)), [Step(20, 3)])
    baseline = open_loop.run(house.target(name, rows(FINE)), steps)
    mixed = open_loop.run(house.target(name, *[rows(FINE)] * 10, rows(HANGS), *[rows(FINE)] * 9), steps)
    _hold_others(claims, "one in twenty hangs", baseline, mixed, {10})
    hung = sorted({sample.status for sample in mixed if sample.kind == 10})
    claims.hold("those that hang are 504", str(hung), met=hung == [504])


def deaf(house: House, claims: Claims, *, small: bool) -> None:
    """Requests that take the alarm away and hang, as many as the endpoint may have replicas."""
    name, count = "deaf", 2 if small else 4
    house.launch(name, MODEL, timeout_seconds=1, idle_timeout_seconds=60)
    until(lambda: house.forks(name), "its replicas are forked")
    step = [Step(count, 1)]
    outcome = open_loop.run(house.target(name, rows(DEAF)), step)
    began = time.monotonic()
    statuses = dict(outcome.by_status)
    while house.platform.score(name, rows(FINE), timeout=60).status_code != 200:
        if time.monotonic() > began + 60:
            break
    seconds = time.monotonic() - began
    claim = "after requests that take the alarm away and hang, the next is answered within 4 s"
    claims.hold(claim, f"{seconds:.1f} s; those that hung {statuses}", met=seconds < 4)
    until(lambda: bool(ended(house, name)), "its owner is told", 10)
    claims.tell("what its owner is told", ended(house, name)[0])


def _hold_others(claims: Claims, what: str, baseline: Outcome, mixed: Outcome, guilty: set[int]) -> None:
    others = [sample for sample in mixed if sample.kind not in guilty]
    failed = sum(not sample.ok for sample in others)
    claims.hold(f"{what}: the others all 200", f"{failed} of {len(others)} failed {dict(mixed.errors)}", met=not failed)
    was = percentile(baseline.latencies(), 99) * 1000
    now, most = (percentile([sample.seconds for sample in others], percent) * 1000 for percent in (99, 100))
    claim = f"{what}: p99 of the others < 2 × baseline + 5 ms"
    claims.hold(claim, f"{now:.1f} ms, baseline {was:.1f} ms, slowest {most:.0f} ms", met=now < 2 * was + 5)


def _nobody_ended(house: House, claims: Claims, endpoint: str) -> None:
    told = ended(house, endpoint)
    claims.hold(f"{endpoint}: 0 replicas ended", str(len(told) or "0"), met=not told)
    house.delete(endpoint)


PARTS: dict[str, Callable[..., None]] = {
    "cold-rows": cold_rows,
    "slow-one": slow_one,
    "hanging": hanging,
    "deaf": deaf,
}


def main() -> int:
    """Returns how many claims were missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--small", action="store_true", help="smaller, to try it out")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - PARTS.keys():
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(PARTS)}")
    claims = Claims()
    with elastic_house() as house:
        house.add_model("crowded", MODEL)
        for part in chosen.parts or list(PARTS):
            print(f"== {part}", flush=True)
            try:
                PARTS[part](house, claims, small=chosen.small)
            except SystemExit as why:  # what was waited for did not happen; the others go on
                claims.hold(part, f"not measured: {why}", met=False)
    return len(claims.missed)


if __name__ == "__main__":
    sys.exit(main())
