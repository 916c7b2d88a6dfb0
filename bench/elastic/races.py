"""Requests that race with scale-to-zero: volleys of them around each, on some endpoints at once; none may be lost.

A request sets the idle clock back, so the first one of a volley is what races: it comes at a random moment between just
before the endpoint may go to zero and well after; five more follow at 50 to 150 ms.
"""

import asyncio
import random
import time
from collections.abc import Iterator

import uvloop
from rich.progress import Progress

from bench.claims import Claims
from bench.elastic.house import IDLE_SECONDS, House
from bench.outcome import Outcome, percentile
from bench.senders import OpenLoop

ENDPOINTS, RACES, SMALL_RACES = 8, 500, 10
_VOLLEY, _GAPS = 5, (0.05, 0.15)
_ROUND_SECONDS = 2.3  # of one race on one endpoint, about: the pause, then the volley
_PAUSES = (IDLE_SECONDS - 0.1, IDLE_SECONDS + 1.6)


def volleys(seconds: float, seed: int) -> Iterator[float]:
    """When requests to one endpoint are due."""
    draw, at = random.Random(seed), 0.0
    while at < seconds:
        at += draw.uniform(*_PAUSES)
        yield at
        for _ in range(_VOLLEY):
            at += draw.uniform(*_GAPS)
            yield at


async def race(house: House, endpoints: list[str], seconds: float) -> Outcome:
    """Volleys on all of them for so long."""
    loops = [OpenLoop(house.target(name, house.requests["wine"])) for name in endpoints]
    await asyncio.gather(*(loop.run(volleys(seconds, seed)) for seed, loop in enumerate(loops)))
    whole = Outcome()
    for loop in loops:
        whole.merge(loop.outcome)
    return whole


def run(house: House, claims: Claims, *, small: bool) -> None:
    """Race on this platform until there were as many scale-to-zeros as wanted; needs the model `wine`."""
    wanted, endpoints = (SMALL_RACES, 2) if small else (RACES, ENDPOINTS)
    names = [f"race-{number}" for number in range(endpoints)]
    for name in names:
        house.create(name, "wine")
    for name in names:
        house.platform.settled(name)
    whole, begin = Outcome(), time.monotonic()
    with Progress() as progress:
        task = progress.add_task("scale-to-zeros with requests around them", total=wanted)
        while (done := zeros(house, names)) < wanted and time.monotonic() - begin < 20 * wanted:
            progress.update(task, completed=done)
            turns = max(3, (wanted - done) // (2 * len(names)))
            whole.merge(uvloop.run(race(house, names, turns * _ROUND_SECONDS)))
        progress.update(task, completed=min(done, wanted))
    lost = f"{whole.failed} of {len(whole)} {dict(whole.errors)}"
    claims.hold(
        f"{done} scale-to-zeros with requests around each, 0 lost", lost, met=done >= wanted and not whole.failed
    )
    claims.tell("slowest request in the races", f"{percentile(whole.latencies(), 100) * 1000:.0f} ms")
    house.delete(*names)


def zeros(house: House, names: list[str]) -> int:
    """How often these endpoints went to zero, by their events."""
    return sum(event["type"] == "scaled_to_zero" for name in names for event in house.events(name))
