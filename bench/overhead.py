"""What the gateway costs: the whole scoring path but the model, beside a bare ASGI echo, in interleaved rounds of wrk.

The gateway runs as the supervisor starts it, with token check, metrics and ledger; a replica that predicts nothing
stands behind it. Beside requests/s stands the server's CPU time per request, which holds on a busy machine too.
`python -m bench.overhead [--gateways N] [--seconds S] [--rounds N]`.
"""

import argparse
import asyncio
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from rich.console import Console
from rich.table import Table
from tests.gateway.gateway_process import GatewayProcess, listener
from tests.gateway.house import TOKEN, V1, FakeAgent, until

from bench import wrk
from tidegate.core.endpoint.revision import Address, ReplicaId, RevisionAddresses
from tidegate.data_directory import DataDirectory

CONNECTIONS = (1, 16, 64, 256)
BODY = '{"dataframe_split": {"columns": ["a", "b", "c", "d"], "data": [[5.1, 3.5, 1.4, 0.2]]}}'


@dataclass(frozen=True)
class Server:
    """Where a server answers, and its processes."""

    url: str
    pids: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """What its processes have used, in user mode and in the kernel."""
        times = [psutil.Process(pid).cpu_times() for pid in self.pids]
        return sum(time.user + time.system for time in times)


@dataclass(frozen=True)
class Run:
    """One run of wrk, and the server's CPU time in microseconds a request."""

    figures: wrk.Figures
    cpu: float


@contextlib.contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this benchmark, ended by its id."""
    process = subprocess.Popen([sys.executable, "-m", *arguments])
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


@contextlib.asynccontextmanager
async def bare_echo() -> AsyncIterator[Server]:
    """The echo."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with child("bench.bare_echo", str(port)) as process:
        url = f"http://127.0.0.1:{port}/"
        await until(lambda: answers(url), 20)
        yield Server(url, (process.pid,))


@contextlib.asynccontextmanager
async def gateways(count: int) -> AsyncIterator[Server]:
    """An endpoint behind so many gateways on one port."""
    with tempfile.TemporaryDirectory() as folder:
        data = DataDirectory(Path(folder))
        data.create()
        replica = data.run / "replica.sock"
        agent = FakeAgent(data.agent_socket)
        await agent.start()
        agent.addresses[V1] = RevisionAddresses(V1, True, ((ReplicaId("aaaa0001"), Address(str(replica), "s")),))
        first = listener()
        others = [listener(first.getsockname()[1]) for _ in range(count - 1)]
        running = [GatewayProcess(data, V1, made, n, count) for n, made in enumerate([first, *others])]
        with child("bench.fast_replica", str(replica)):
            try:
                for gateway in running:
                    gateway.start()
                await until(lambda: answers(running[0].url), 20)
                yield Server(running[0].url, tuple(gateway.pid for gateway in running))
            finally:
                for gateway in running:
                    gateway.stop()
                await agent.stop()


async def answers(url: str) -> bool:
    """Whether the server is up."""
    with contextlib.suppress(httpx.HTTPError):
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}) as client:
            return (await client.post(url, content=BODY)).status_code == 200
    return False


async def measure(servers: dict[str, Server], rounds: int, seconds: float) -> dict[tuple[str, int], list[Run]]:
    """Interleaved rounds: what disturbs one, disturbs all."""
    runs: dict[tuple[str, int], list[Run]] = {}
    for connections in CONNECTIONS:
        for _ in range(rounds):
            for name, server in servers.items():
                run = await asyncio.to_thread(one_run, server, connections, seconds)
                runs.setdefault((name, connections), []).append(run)
    return runs


def one_run(server: Server, connections: int, seconds: float) -> Run:
    """wrk against one server."""
    before = server.cpu_seconds()
    figures = wrk.run(server.url, BODY, connections, seconds, TOKEN)
    used = server.cpu_seconds() - before
    return Run(figures, used / (figures.requests_per_second * seconds) * 1e6)


async def compare(count: int, rounds: int, seconds: float) -> None:
    """Print the table, and a line `FIGURE …` for each number of connections."""
    table = Table(title=f"requests/s (p50, p99 in ms), CPU µs a request; {count} gateway(s)")
    for heading in ("connections", "bare echo", "gateway", "of requests/s", "of CPU"):
        table.add_column(heading, justify="right")
    async with bare_echo() as echo, gateways(count) as gateway:
        servers = {"bare echo": echo, "gateway": gateway}
        for server in servers.values():
            await asyncio.to_thread(one_run, server, 16, 1.0)
        runs = await measure(servers, rounds, seconds)
    for connections in CONNECTIONS:
        bare, ours = (median(runs[name, connections]) for name in servers)
        share = ours.figures.requests_per_second / bare.figures.requests_per_second
        cells = (cell(bare), cell(ours), f"{share:.0%}", f"{bare.cpu / ours.cpu:.0%}")
        table.add_row(str(connections), *cells)
        print(
            f"FIGURE overhead, {connections} connections, {count} gateway(s): {cells[1]}; "
            f"bare echo {cells[0]}; {cells[2]} of requests/s, {cells[3]} of CPU"
        )
    Console(width=140).print(table)


def median(runs: list[Run]) -> Run:
    """Of each figure by itself; failures are added up."""
    figures = [run.figures for run in runs]
    return Run(
        wrk.Figures(
            statistics.median(f.requests_per_second for f in figures),
            statistics.median(f.p50 for f in figures),
            statistics.median(f.p99 for f in figures),
            sum(f.failed for f in figures),
        ),
        statistics.median(run.cpu for run in runs),
    )


def cell(run: Run) -> str:
    """As it stands in the table."""
    figures = run.figures
    failed = f", {figures.failed} failed" if figures.failed else ""
    return f"{figures.requests_per_second:,.0f} ({figures.p50:.2f}, {figures.p99:.2f}{failed}), {run.cpu:.1f} µs"


def main(arguments: Sequence[str] = ()) -> None:
    """Measure with one gateway, or as told."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gateways", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    chosen = parser.parse_args(arguments)
    asyncio.run(compare(chosen.gateways, chosen.rounds, chosen.seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
