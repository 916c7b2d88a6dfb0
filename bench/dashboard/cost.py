"""What the dashboard and its series cost a request, beside a checkout from before them; and control's longest callback.

`python -m bench.dashboard.cost [OTHER_CHECKOUT] [--endpoints 1000] [--streams 100] [--rounds 7] [--seconds 4]`

Both platforms run at once and are measured in turns, 64 connections each. This one has so many endpoints, asleep but
for one; while it is measured, streams are open, half of them on the list and half on the endpoint, and `/metrics` is
asked for every 5 seconds. The other one has nothing of that. Without an argument it is the commit BEFORE.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from rich.progress import track
from tests.e2e.running_platform import Platform

from bench import wrk
from bench.beside import Side, side
from bench.claims import Claims
from bench.dashboard.readers import close_readers, log_in, open_readers
from bench.elastic.house import House, until
from bench.elastic.idle_endpoints import create, ready

MOST_CPU, MOST_CALLBACK_SECONDS = 1.05, 0.02
_SCRAPE_SECONDS, _LIST_ROWS = 5.0, 50
_ROOT, _HOOK = Path(__file__).parents[2], Path(__file__).parent / "hook"
BEFORE = "ea5bc7c"
"""The last commit without the dashboard and its series."""


def main(arguments: Sequence[str] = ()) -> int:
    """Returns how many claims were missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", type=Path, nargs="?", help="the checkout to compare with")
    parser.add_argument("--endpoints", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0, help="of load in each round")
    chosen = parser.parse_args(arguments)
    wrk.binary()
    claims = Claims()
    with tempfile.TemporaryDirectory() as folder, _checkout(chosen.other) as before:
        notes = Path(folder) / "callbacks"
        hooked = {"PYTHONPATH": str(_HOOK), "BENCH_LONG_CALLBACKS": str(notes)}
        with side(_ROOT, hooked) as this, side(before) as other:
            names = _sleeping_endpoints(this.platform, chosen.endpoints)
            for one in (this, other):
                one.cpu_per_request(chosen.seconds)  # warm
            began = time.time()
            _requests(claims, this, other, names, chosen)
            _callbacks(claims, notes, began)
    return len(claims.missed)


@contextlib.contextmanager
def _checkout(given: Path | None) -> Iterator[Path]:
    """The given checkout, or one of the commit BEFORE, which is removed at the end of the `with`."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "before"
        git = ["git", "-C", str(_ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(place), BEFORE], check=True)
        try:
            yield place
        finally:
            subprocess.run([*git, "remove", "--force", str(place)], check=True)


def _requests(claims: Claims, this: Side, other: Side, names: list[str], chosen: argparse.Namespace) -> None:
    on, off, serving = list[float](), list[float](), list[tuple[bool, float]]()
    for turn in track(range(chosen.rounds), "rounds"):
        order = (this, other) if turn % 2 else (other, this)
        for one in order:
            with all_on(one.platform, names, chosen.streams) if one is this else contextlib.nullcontext():
                before = _serving_seconds(one.platform)
                cpu = one.cpu_per_request(chosen.seconds)
                (on if one is this else off).append(cpu)
                serving.append((one is this, _serving_seconds(one.platform) - before))
    ratio = statistics.median(mine / theirs for mine, theirs in zip(on, off, strict=True))
    told = f"{ratio:.3f} ({statistics.median(on):.1f} beside {statistics.median(off):.1f} µs, {chosen.rounds} rounds)"
    claims.hold(
        f"CPU per request of all processes, all on beside all off, at most {MOST_CPU}", told, met=ratio <= MOST_CPU
    )
    for which, name in ((True, "all on"), (False, "all off")):
        seconds = statistics.median(spent for is_this, spent in serving if is_this is which)
        claims.tell(f"gateway and replicas in a round, {name}", f"{seconds:.2f} s of processor time")


def _serving_seconds(platform: Platform) -> float:
    """The processor time of gateways and replicas so far."""
    total = 0.0
    for pid, title in platform.processes().items():
        if title.startswith(("tidegate: gateway", "tidegate: replica")):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = psutil.Process(pid).cpu_times()
                total += times.user + times.system
    return total


def _callbacks(claims: Claims, notes: Path, began: float) -> None:
    """The longest callbacks of control's loop since `began`, unix seconds."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    found = [(float(spent), what) for at, spent, what in (line.split(" ", 2) for line in lines) if float(at) >= began]
    for spent, what in sorted(found, reverse=True)[:5]:
        claims.tell("a long callback of control's loop", f"{spent * 1000:.1f} ms: {what}")
    longest = max((spent for spent, _ in found), default=0.0)
    claim = f"no callback of control's loop above {MOST_CALLBACK_SECONDS * 1000:.0f} ms of thread CPU"
    claims.hold(
        claim, f"longest {longest * 1000:.1f} ms, {len(found)} above 5 ms", met=longest <= MOST_CALLBACK_SECONDS
    )


def _sleeping_endpoints(platform: Platform, count: int) -> list[str]:
    house, names = House(platform), [f"idle-{number:04}" for number in range(count)]
    there = ready(house)
    asyncio.run(create(house, names))
    until(lambda: ready(house) >= there + count, f"{count} endpoints are ready", 3600, pause=1)
    house.wait_at_zero(*names, seconds=600)
    return names


@contextlib.contextmanager
def all_on(platform: Platform, names: list[str], streams: int) -> Iterator[None]:
    """Readers of streams, and a scrape every 5 seconds, until the end of the `with`."""
    up, down, failed = threading.Event(), threading.Event(), list[BaseException]()
    shown = "&".join(f"name={name}" for name in ("wine", *names)[:_LIST_ROWS])

    async def read() -> None:
        cookie = log_in(platform)
        readers = await open_readers(platform, cookie, f"/live/endpoints?{shown}", streams // 2)
        readers += await open_readers(platform, cookie, "/live/endpoints/wine?range=5m", streams - streams // 2)
        if any(reader.status != 200 for reader in readers):
            raise RuntimeError("a stream was refused")
        due = time.monotonic()
        up.set()
        while not down.is_set():
            if time.monotonic() >= due:
                due += _SCRAPE_SECONDS
                await asyncio.to_thread(_scrape, platform)
            await asyncio.sleep(0.05)
        await close_readers(readers)

    def run() -> None:
        try:
            asyncio.run(read())
        except BaseException as error:
            failed.append(error)
            up.set()

    thread = threading.Thread(target=run)
    thread.start()
    up.wait(120)
    try:
        yield
    finally:
        down.set()
        thread.join(60)
    if failed:
        raise SystemExit(f"The streams could not be read: {failed[0]!r}")


def _scrape(platform: Platform) -> None:
    with platform.client() as client:
        client.get("/metrics").raise_for_status()


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.exit(main(sys.argv[1:]))
