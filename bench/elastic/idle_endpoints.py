"""A thousand endpoints at zero on one machine: what it takes to create, hold, list and wake them."""

import asyncio
import random
import time

import httpx
from rich.progress import Progress

from bench.claims import Claims
from bench.cold_request import Caller, Cold
from bench.elastic.house import ELASTIC, House, until
from bench.outcome import percentile

ENDPOINTS, SMALL_ENDPOINTS, CREATE_AT_ONCE = 1000, 50, 8
LIST_MS, CPU_PERCENT, COLD_P99_MS = 150, 2.0, 300
LISTS, SETTLE_SECONDS, IDLE_SECONDS, COLD_REQUESTS = 20, 10, 30, 100


def run(house: House, claims: Claims, *, small: bool) -> None:
    """Measure on this platform, which should have nothing else; needs the model `wine`."""
    count = SMALL_ENDPOINTS if small else ENDPOINTS
    names = [f"idle-{number:04}" for number in range(count)]
    house.launch(names[0], "wine")  # builds the environment: not what is measured here
    house.wait_at_zero(names[0])
    before = {title: house.memory(f"tidegate: {title}") for title in ("control", "gateway", "agent")}
    began = time.monotonic()
    asyncio.run(create(house, names[1:]))
    accepted = time.monotonic() - began
    until(lambda: ready(house) == count, f"{count} endpoints are ready", 3600, pause=1)
    total = time.monotonic() - began
    claims.tell(f"creation of {count} endpoints", f"accepted after {accepted:.1f} s, all ready after {total:.1f} s")
    claims.tell("until none has a replica, further seconds", f"{house.wait_at_zero(*names, seconds=600):.1f}")
    for title, was in before.items():
        now = house.memory(f"tidegate: {title}")
        claims.tell(f"memory (PSS) of {title}, 1 and {count} endpoints", f"{was:.0f} and {now:.0f} MB")
    listing(house, claims, count)
    idle_cpu(house, claims, count, IDLE_SECONDS if not small else 10)
    wake(house, claims, names, COLD_REQUESTS if not small else 10)


async def create(house: House, names: list[str]) -> None:
    """Create them, some at once, as a script would."""
    queue = iter(names)
    headers = {"authorization": f"Bearer {house.platform.token}"}
    with Progress() as progress:
        task = progress.add_task("endpoints created", total=len(names))
        async with httpx.AsyncClient(base_url=house.platform.url, headers=headers, timeout=60) as client:

            async def worker() -> None:
                for name in queue:
                    served = [{"entity_name": "wine", "entity_version": "1", **ELASTIC}]
                    body = {"name": name, "config": {"served_entities": served}}
                    (await client.post("/api/2.0/serving-endpoints", json=body)).raise_for_status()
                    progress.advance(task)

            await asyncio.gather(*(worker() for _ in range(CREATE_AT_ONCE)))


def ready(house: House) -> int:
    """How many endpoints are READY."""
    with house.platform.client() as client:
        listed = client.get("/api/2.0/serving-endpoints").json()["endpoints"]
    return sum(endpoint["state"]["ready"] == "READY" for endpoint in listed)


def listing(house: House, claims: Claims, count: int) -> None:
    """How long the list takes, by the API and by the command."""
    times = []
    with house.platform.client() as client:
        client.get("/api/2.0/serving-endpoints")
        for _ in range(LISTS):
            began = time.monotonic()
            answer = client.get("/api/2.0/serving-endpoints")
            times.append((time.monotonic() - began) * 1000)
            assert len(answer.json()["endpoints"]) >= count
    median, longest = percentile(times, 50), max(times)
    claim = f"list of {count} endpoints < {LIST_MS} ms, every time"
    claims.hold(claim, f"median {median:.0f} ms, longest {longest:.0f} ms", met=longest < LIST_MS)
    began = time.monotonic()
    assert house.platform.command("list").returncode == 0
    claims.tell(f"`tidegate list` of {count} endpoints", f"{time.monotonic() - began:.2f} s")


def idle_cpu(house: House, claims: Claims, count: int, seconds: float) -> None:
    """The CPU time of the whole platform while nobody asks anything."""
    time.sleep(SETTLE_SECONDS)
    before = house.cpu_seconds()
    time.sleep(seconds)
    after = house.cpu_seconds()
    titles = house.platform.processes()
    shares = {pid: 100 * (used - before.get(pid, 0.0)) / seconds for pid, used in after.items()}
    named = ", ".join(f"{titles.get(pid, '?')[10:30]} {share:.2f}" for pid, share in shares.items() if share >= 0.01)
    claim = f"idle CPU of the platform with {count} endpoints at zero, < {CPU_PERCENT:g} % of a core"
    claims.hold(claim, f"{sum(shares.values()):.2f} % ({named})", met=sum(shares.values()) < CPU_PERCENT)


def wake(house: House, claims: Claims, names: list[str], times: int) -> None:
    """Cold requests to random ones of them."""
    caller, draw, asked = Caller(house.platform), random.Random(1), list[Cold]()
    with Progress() as progress:
        for name in progress.track(draw.choices(names, k=times), description="cold requests to random endpoints"):
            house.wait_at_zero(name)
            asked.append(caller.call(name, house.requests["wine"]))
    caller.close()
    seconds = [cold.seconds * 1000 for cold in asked]
    errors = sum(cold.status != 200 for cold in asked)
    p50, p99 = percentile(seconds, 50), percentile(seconds, 99)
    claim = f"{times} cold requests to random ones of {len(names)}, p99 < {COLD_P99_MS} ms, 0 errors"
    met = p99 < COLD_P99_MS and not errors
    claims.hold(claim, f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, {errors} errors", met=met)
