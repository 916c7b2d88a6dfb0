"""Whether the numbers are true: percentiles of each minute beside the raw requests, and counts beside the load's own.

    python -m bench.dashboard.truth [--minutes 4] [--requests 100000]

1. So many requests to the sample: the load generator, `/metrics`, the series and the page's ledger count the same.
2. Five endpoints with latencies of five shapes, two gateways; control and then a gateway are killed meanwhile. The
   series' p50, p90 and p99 of every whole minute are within 2 % of those of the `total` in all `server-timing` headers.

Each claim is a line `FIGURE …`; the exit status is the number of claims that do not hold.
"""

import argparse
import asyncio
import json
import math
import os
import random
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
from tests.e2e.conftest import register
from tests.e2e.running_platform import Platform

from bench.claims import Claims
from bench.dashboard.readers import log_in
from bench.sample_platform import sample_platform

SHAPES: dict[str, Callable[[random.Random], float]] = {
    "constant": lambda draw: draw.uniform(0.0248, 0.0252),
    "uniform": lambda draw: draw.uniform(0.002, 0.04),
    "log-normal": lambda draw: draw.lognormvariate(math.log(0.008), 0.5),
    "two-peaks": lambda draw: draw.gauss(0.004, 0.0003) if draw.random() < 0.8 else draw.gauss(0.05, 0.003),
    "long-tail": lambda draw: min(0.5, 0.004 * draw.paretovariate(2.5)),
}
"""The time that the model takes, seconds."""

SHARES = (0.5, 0.9, 0.99)
MOST_ERROR = 0.02
CALLERS = 4  # of each endpoint, one request after the other
_FEWEST = 300  # answers of a minute that is compared


@dataclass
class Raw:
    """All answers of an endpoint: when each came, unix seconds, and the gateway's own total, seconds."""

    at: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    broken: int = 0

    def minute(self, begin: float) -> list[float]:
        """The totals of the answers of a minute, the smallest first."""
        return sorted(total for at, total in zip(self.at, self.total, strict=True) if begin <= at < begin + 60)


def main() -> int:
    """Print the figures; returns how many claims do not hold."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--minutes", type=int, default=4)
    parser.add_argument("--requests", type=int, default=100_000)
    chosen = parser.parse_args()
    claims = Claims()
    with sample_platform("--gateways", "2") as sample:
        _counts(sample.platform, sample.body, chosen.requests, claims)
        register(sample.platform, "moody", "moody")
        for shape in SHAPES:
            sample.platform.launch(shape, "moody")
        raw = asyncio.run(_shapes(sample.platform, chosen.minutes))
        _percentiles(sample.platform, raw, claims)
    return len(claims.missed)


# --- counts


def _counts(platform: Platform, body: str, wanted: int, claims: Claims) -> None:
    """The counts of one load, told by everybody who tells them."""
    with platform.client() as client:
        before = _by_metrics(client)
        sent = 0
        url = f"{platform.url}/serving-endpoints/wine/invocations"
        while sent < wanted:
            sent += _load(url, body, platform.token)
        time.sleep(4.0)  # the last second's reports, and the page's own delay
        metrics = _by_metrics(client) - before
        points = client.get("/api/tidegate/v1/endpoints/wine/series", params={"minutes": 14, "step": 1}).json()[
            "points"
        ]
        series = sum(sum(point["statuses"].values()) for point in points) - before
        page = client.get("/endpoints/wine", headers={"cookie": log_in(platform)}).text
        found = re.search(r'data-live="ledger/answered">([\d,]+)<', page)
        ledger = int(found[1].replace(",", "")) - before if found else -1
    for name, count in (("/metrics", metrics), ("the series", series), ("the page's ledger", ledger)):
        told = f"{count:,} of {sent:,}, difference {count - sent}"
        claims.hold(f"counts of {name} are the load generator's", told, met=count == sent)


def _load(url: str, body: str, token: str, connections: int = 16, each: int = 500) -> int:
    """A closed loop over some connections; returns how many answers came. An error ends the bench."""
    return asyncio.run(_closed_loop(url, body.encode(), token, connections, each))


async def _closed_loop(url: str, body: bytes, token: str, connections: int, each: int) -> int:
    async def caller() -> int:
        connection = _Connection(url, token)
        for _ in range(each):
            if await connection.ask(body) is None:
                raise SystemExit("A request was not answered.")
        connection.close()
        return each

    return sum(await asyncio.gather(*(caller() for _ in range(connections))))


def _by_metrics(client: httpx.Client) -> int:
    found = re.findall(
        r'^tidegate_responses_total\{endpoint="wine",status="\d+"\} ([\d.e+]+)$', _metrics(client), re.MULTILINE
    )
    return int(sum(map(float, found)))


def _metrics(client: httpx.Client) -> str:
    return client.get("/metrics").text


# --- percentiles


async def _shapes(platform: Platform, minutes: int) -> dict[str, Raw]:
    """Ask all endpoints for so many whole minutes; kill control, and then a gateway, in the middle of two of them."""
    raw = {shape: Raw() for shape in SHAPES}
    begin = (time.time() // 60 + 1) * 60
    end = begin + 60 * minutes
    callers = [
        asyncio.create_task(_caller(platform, shape, raw[shape], number, end))
        for shape in SHAPES
        for number in range(CALLERS)
    ]
    for minute, title in ((1, "tidegate: control"), (2, "tidegate: gateway 1")):
        if minute < minutes:
            await asyncio.sleep(max(0.0, begin + 60 * minute + 20 - time.time()))
            os.kill(platform.pid_of(title), signal.SIGKILL)
            print(f"killed {title}", flush=True)
    await asyncio.gather(*callers)
    await asyncio.sleep(5.0)
    return raw


async def _caller(platform: Platform, shape: str, raw: Raw, number: int, end: float) -> None:
    draw = random.Random(f"{shape} {number}")
    url = f"{platform.url}/serving-endpoints/{shape}/invocations"
    connection = _Connection(url, platform.token)
    while time.time() < end:
        sleep = max(0.0, SHAPES[shape](draw))
        body = json.dumps({"dataframe_records": [{"mood": f"sleep {sleep:.6f}"}]}).encode()
        total = await connection.ask(body)
        if total is None:
            raw.broken += 1
            await asyncio.sleep(0.05)
            continue
        raw.at.append(time.time())
        raw.total.append(total)


def _percentiles(platform: Platform, raw: dict[str, Raw], claims: Claims) -> None:
    worst: dict[float, tuple[float, str]] = dict.fromkeys(SHARES, (0.0, ""))
    compared = 0
    with platform.client() as client:
        for shape, answers in raw.items():
            asked = {"minutes": 30, "step": 60}
            points = client.get(f"/api/tidegate/v1/endpoints/{shape}/series", params=asked).json()["points"]
            for point in points:
                totals = answers.minute(point["at"])
                if len(totals) < _FEWEST or point["seconds"] != 60:
                    continue
                compared += 1
                for share in SHARES:
                    true, found = _quantile(totals, share), point[f"p{share * 100:g}_ms"] / 1000
                    error = abs(found / true - 1)
                    what = (
                        f"{shape}, minute {time.strftime('%H:%M', time.localtime(point['at']))}, {len(totals)} answers"
                    )
                    worst[share] = max(worst[share], (error, f"{what}: {found * 1e3:.3f} beside {true * 1e3:.3f} ms"))
    claims.hold("minutes that were compared", f"{compared}", met=compared >= len(raw) * 2)
    for share, (error, where) in worst.items():
        claims.hold(
            f"p{share * 100:g} of every minute within 2 % of the raw requests",
            f"{error:.2%} ({where})",
            met=error <= MOST_ERROR,
        )


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank quantile."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


# --- a connection


class _Connection:
    """One connection of a caller, made anew when it breaks."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        lines = [f"POST {parts.path} HTTP/1.1", f"host: {parts.netloc}", f"authorization: Bearer {token}"]
        self._head = "\r\n".join([*lines, "content-type: application/json", "content-length: "]).encode()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, body: bytes) -> float | None:
        """The gateway's own total of one request, seconds; None where the connection broke."""
        try:
            if self._reader is None or self._writer is None:
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
            self._writer.write(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
            head = await self._reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"content-length: (\d+)", head)
            await self._reader.readexactly(int(found[1]) if found else 0)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return None
        total = re.search(rb"total;dur=([\d.]+)", head)
        if not head.startswith(b"HTTP/1.1 200") or total is None:
            return None
        return float(total[1]) / 1000

    def close(self) -> None:
        """Leave."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


if __name__ == "__main__":
    raise SystemExit(main())
