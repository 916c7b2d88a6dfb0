"""What a request costs the gateway that it passes on to control, in CPU time: `python -m bench.proxied`.

A real gateway process stands before a server on control's Unix socket that answers everything with 1.4 kB, as a poll of
a page is answered. Exits with 1 when the gateway takes more than 0.3 ms of the processor a request.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import httpx
import psutil
from tests.gateway.gateway_process import GatewayProcess, listener
from tests.gateway.house import TOKEN, V1, until

from tidegate.data_directory import DataDirectory

MOST_MICROSECONDS = 300.0
CONNECTIONS = (1, 16, 64)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1400\r\n\r\n" + b"x" * 1400
REQUEST = f"GET /api/2.0/serving-endpoints HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\n\r\n".encode()


class Upstream(asyncio.Protocol):
    """Control's stand-in: the same answer to every request. They come one by one, each in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio tells it."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002
        """As asyncio tells it."""
        self._transport.write(ANSWER)


async def caller(port: int, count: int) -> None:
    """One connection with so many requests, one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"The gateway answered: {head[:200]!r}")
        await reader.readexactly(1400)
    writer.close()


async def micros(process: psutil.Process, port: int, connections: int, requests: int) -> float:
    """CPU time of the gateway for one of so many requests."""
    before = process.cpu_times()
    await asyncio.gather(*(caller(port, requests // connections) for _ in range(connections)))
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / (requests // connections * connections) * 1e6


async def answers(url: str) -> bool:
    """Whether the gateway is up."""
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(url)).status_code == 200
    except httpx.HTTPError:
        return False


async def measure(rounds: int, requests: int) -> dict[int, float]:
    """The least of the rounds, by connections: other processes only add to it."""
    found: dict[int, list[float]] = {connections: [] for connections in CONNECTIONS}
    with tempfile.TemporaryDirectory() as folder:
        data = DataDirectory(Path(folder))
        data.create()
        control = await asyncio.get_running_loop().create_unix_server(Upstream, data.api_socket)
        listening = listener()
        gateway, port = GatewayProcess(data, V1, listening), listening.getsockname()[1]
        gateway.start()
        try:
            await until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), 20)
            process = psutil.Process(gateway.pid)
            await micros(process, port, 16, 500)
            for _ in range(rounds):
                for connections, figures in found.items():
                    figures.append(await micros(process, port, connections, requests))
        finally:
            gateway.stop()
            control.close()
    return {connections: min(figures) for connections, figures in found.items()}


def main(arguments: Sequence[str] = ()) -> int:
    """Print a line `FIGURE …`; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2000)
    chosen = parser.parse_args(arguments)
    found = asyncio.run(measure(chosen.rounds, chosen.requests))
    told = ", ".join(f"{figure:,.0f} µs at {connections} connections" for connections, figure in found.items())
    print(f"FIGURE gateway's CPU time of a request passed on to control: {told}; at most {MOST_MICROSECONDS:g} µs")
    return int(max(found.values()) > MOST_MICROSECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
