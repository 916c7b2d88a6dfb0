"""A thousand readers of event streams come and leave ten times; the platform stops with a hundred; control is killed.

`python -m bench.dashboard.streams [--readers 1000] [--rounds 10]`. Each claim is a line `FIGURE …`; the exit status is
the number of claims that do not hold.
"""

import argparse
import asyncio
import os
import signal
import time
from pathlib import Path

import psutil
from tests.e2e.running_platform import Platform

from bench.claims import Claims
from bench.dashboard.readers import Reader, close_readers, log_in, open_readers
from bench.sample_platform import sample_platform

PATH = "/live/endpoints?name=wine"
LEFT_SECONDS, STOP_SECONDS, BACK_SECONDS, MOST_MB = 5.0, 5.0, 5.0, 10.0


def main() -> int:
    """Print the figures; returns how many claims do not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    chosen = parser.parse_args()
    claims = Claims()
    with sample_platform() as sample:
        platform = sample.platform
        asyncio.run(_come_and_leave(platform, claims, chosen.readers, chosen.rounds))
        asyncio.run(_control_is_killed(platform, claims))
        _stops(platform, claims)
        told = [line for log in sorted(platform.data_dir.glob("logs/*.log")) for line in _tracebacks(log)]
        claims.hold("no traceback in the logs", f"{len(told)}", met=not told)
    return len(claims.missed)


async def _come_and_leave(platform: Platform, claims: Claims, count: int, rounds: int) -> None:
    gateway, control = platform.pid_of("tidegate: gateway"), platform.pid_of("tidegate: control")
    cookie = log_in(platform)
    await close_readers(await open_readers(platform, cookie, PATH, count))  # what is made once is made
    await asyncio.sleep(LEFT_SECONDS)
    before, idle = _memory(gateway), _connections(control)
    for _ in range(rounds):
        readers = await open_readers(platform, cookie, PATH, count)
        refused = sum(reader.status != 200 for reader in readers)
        if refused:
            raise SystemExit(f"{refused} of {count} readers were refused.")
        await asyncio.sleep(2.0)
        if not all(reader.bytes for reader in readers):
            raise SystemExit("A reader got nothing.")
        await close_readers(readers)
    await asyncio.sleep(LEFT_SECONDS)
    left = _connections(control) - idle
    claims.hold(f"0 streams open {LEFT_SECONDS:.0f} s after {rounds} x {count} left", f"{left}", met=left <= 0)
    grown = (_memory(gateway) - before) / 1e6
    claims.hold(f"gateway's memory back within {MOST_MB:.0f} MB", f"{grown:+.1f} MB", met=grown <= MOST_MB)


async def _control_is_killed(platform: Platform, claims: Claims, count: int = 100) -> None:
    cookie = log_in(platform)
    readers = await open_readers(platform, cookie, PATH, count)
    os.kill(platform.pid_of("tidegate: control"), signal.SIGKILL)
    at = time.monotonic()
    while any(reader.open for reader in readers):
        await asyncio.sleep(0.05)
        if time.monotonic() - at > 30:
            raise SystemExit("Streams hang after control's end.")
    back: list[Reader] = []
    while len(back) < count:
        again = await open_readers(platform, cookie, PATH, count - len(back))
        back += [reader for reader in again if reader.status == 200]
        await close_readers([reader for reader in again if reader.status != 200])
        await asyncio.sleep(0.1)
    spent = time.monotonic() - at
    held = spent < BACK_SECONDS
    claims.hold(f"control killed: all {count} streams back in {BACK_SECONDS:.0f} s", f"{spent:.1f} s", met=held)
    await close_readers(back)


def _stops(platform: Platform, claims: Claims, count: int = 100) -> None:
    async def stop() -> float:
        readers = await open_readers(platform, log_in(platform), PATH, count)
        await asyncio.sleep(1.5)
        at = time.monotonic()
        await asyncio.to_thread(platform.stop)
        spent = time.monotonic() - at
        await close_readers(readers)
        return spent

    spent = asyncio.run(stop())
    claims.hold(f"stop with {count} streams in {STOP_SECONDS:.0f} s", f"{spent:.1f} s", met=spent < STOP_SECONDS)


def _connections(control: int) -> int:
    """The connections of control's API socket. A stream has one of its own; a few wait for the next request."""
    return sum(str(one.laddr).endswith("api.sock") for one in psutil.Process(control).net_connections("unix"))


def _memory(pid: int) -> int:
    return int(psutil.Process(pid).memory_full_info().pss)


def _tracebacks(log: Path) -> list[str]:
    return [line for line in log.read_text(errors="replace").splitlines() if line.startswith("Traceback")]


if __name__ == "__main__":
    raise SystemExit(main())
