"""Replicas, template, agent and control killed with -9 while endpoints wake, under load: no request may be lost."""

import contextlib
import os
import signal
import threading
import time

import uvloop

from bench.claims import Claims
from bench.elastic import races
from bench.elastic.house import House, until
from bench.outcome import Outcome, percentile

ENDPOINTS, SECONDS, SMALL_SECONDS, EVERY_SECONDS = 6, 40, 10, 1.7
VICTIMS = ("tidegate: replica", "tidegate: template", "tidegate: agent", "tidegate: control")


def run(house: House, claims: Claims, *, small: bool) -> None:
    """Break this platform; needs the model `wine`."""
    seconds = SMALL_SECONDS if small else SECONDS
    names = [f"fault-{number}" for number in range(ENDPOINTS)]
    for name in names:
        house.create(name, "wine")
    for name in names:
        house.platform.settled(name)
    for victim in VICTIMS:
        outcome, kills = kill_under_load(house, names, victim, seconds)
        claim = f"{victim.split()[1]} killed {kills} times while endpoints wake, 0 requests lost"
        measured = f"{outcome.failed} of {len(outcome)} {dict(outcome.errors)}"
        claims.hold(claim, measured, met=kills > 0 and not outcome.failed)
        slowest = percentile(outcome.latencies(), 100)
        claims.tell(f"slowest request while {victim.split()[1]} was killed", f"{slowest:.2f} s")
        until(lambda: works(house, names), "the platform works again")
    house.delete(*names)


def kill_under_load(house: House, names: list[str], victim: str, seconds: float) -> tuple[Outcome, int]:
    """Volleys on all endpoints, and a kill every so many seconds; what became of them, and the number of kills."""
    whole = Outcome()
    load = threading.Thread(target=lambda: whole.merge(uvloop.run(races.race(house, names, seconds))))
    load.start()
    kills, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        kills += kill(house, victim)
        time.sleep(EVERY_SECONDS)
    load.join()
    return whole, kills


def kill(house: House, title: str) -> int:
    """kill -9 the processes of that title; how many."""
    pids = [pid for pid, name in house.platform.processes().items() if name.startswith(title)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def works(house: House, names: list[str]) -> bool:
    """Whether control answers and knows of the engine again: these endpoints are ready."""
    with house.platform.client() as client:
        answer = client.get("/api/2.0/serving-endpoints")
        endpoints = answer.json()["endpoints"] if answer.status_code == 200 else []
    ready = {endpoint["name"] for endpoint in endpoints if endpoint["state"]["ready"] == "READY"}
    return ready >= set(names)
