"""A machine for tests: a data directory, an overlay with the stub worker, agents, and a client of their socket."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tidegate.core.endpoint.revision import (
    Environment,
    EnvironmentDigest,
    ReplicaState,
    RevisionAddresses,
    RevisionId,
    RevisionObservation,
    RevisionTarget,
)
from tidegate.data_directory import DataDirectory
from tidegate.engines.agent.local_engine import LocalEngine
from tidegate.engines.replicas.replica_record import ReplicaRecord, ReplicaRecords
from tidegate_worker import ipc, process

HERE = Path(__file__).parent
# The interpreter below this virtual environment: it has no package of ours but the overlay's.
PYTHON = str(getattr(sys, "_base_executable", sys.executable))

T = TypeVar("T")


async def eventually(look: Callable[[], T], *, within: float = 10.0) -> T:
    """The first true value of `look`, which may be asked many times."""
    deadline = time.monotonic() + within
    while not (value := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
    return value


def running(pid: int) -> bool:
    """Whether that process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Machine:
    """Agents and what they started end with it."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="tg-"))  # short, for the sockets' paths
        self.data = DataDirectory(self.root / "data")
        self.data.create()
        self.engine = LocalEngine(self.data.agent_socket)
        self._agents: list[subprocess.Popen[bytes]] = []
        self.watches: list[Watch] = []
        self._overlay = self.root / "overlay"
        package = self._overlay / "tidegate_worker"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        for room in (ipc, process):
            shutil.copytree(Path(str(room.__file__)).parent, package / room.__name__.rpartition(".")[2])
        shutil.copy(HERE / "stub_worker.py", package / "__main__.py")

    def target(self, revision: str = "rev1", stub: str = "", **changes: Any) -> RevisionTarget:
        """A target of one replica, whose worker behaves as `stub` says."""
        environment = Environment(EnvironmentDigest("e1"), PYTHON, str(self._overlay))
        values: dict[str, Any] = {
            "revision": RevisionId(revision),
            "endpoint": "wine",
            "served_entity": "wine-1",
            "model_dir": str(self.root / "model"),
            "environment": environment,
            "replicas": 1,
            "min_replicas": 0,
            "max_replicas": 4,
            "timeout_seconds": 60.0,
            "environment_vars": (("STUB", stub),),
        }
        return RevisionTarget(**(values | changes))

    async def start_agent(self, life_line: int | None = None, **settings: float) -> subprocess.Popen[bytes]:
        """An agent that serves its socket."""
        agent = self.spawn_agent(life_line, **settings)
        await eventually(lambda: self._serves(agent))
        return agent

    def spawn_agent(self, life_line: int | None = None, **settings: float) -> subprocess.Popen[bytes]:
        """An agent's process, which may or may not come to serve."""
        argv = [sys.executable, str(HERE / "agent_process.py"), str(self.data.root), json.dumps(settings)]
        fds = () if life_line is None else (life_line,)
        with (self.root / "agent.log").open("ab") as log:
            agent = subprocess.Popen(
                [*argv, *map(str, fds)], pass_fds=fds, stderr=log, env={**os.environ, "TIDEGATE_TOKEN": "hidden"}
            )
        self._agents.append(agent)
        return agent

    @property
    def agent_pid(self) -> int:
        """The newest agent's."""
        return self._agents[-1].pid

    def kill_agent(self) -> None:
        """End the newest agent by SIGKILL; its replicas stay."""
        self._agents[-1].kill()
        self._agents[-1].wait()

    def _serves(self, agent: subprocess.Popen[bytes]) -> bool:
        assert agent.poll() is None, (self.root / "agent.log").read_text()
        return self.data.agent_socket.exists() and self._answers()

    def _answers(self) -> bool:
        """Whether somebody answers: a child that a killed agent was about to run may still hold its socket."""
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
            client.settimeout(1.0)
            client.connect(str(self.data.agent_socket))
            client.sendall(b'{"id":1,"verb":"observe"}\n')
            return bool(client.recv(1))
        return False

    async def observe(self, revision: str = "rev1") -> RevisionObservation | None:
        """What the agent reports of a revision."""
        return (await self.engine.observe()).get(RevisionId(revision))

    async def until(
        self, holds: Callable[[RevisionObservation], bool], revision: str = "rev1", within: float = 10.0
    ) -> RevisionObservation:
        """The first observation of which that is so."""
        deadline = time.monotonic() + within
        while True:
            seen = await self.observe(revision)
            if seen is not None and holds(seen):
                return seen
            assert time.monotonic() < deadline, f"it did not happen in time: {seen}"
            await asyncio.sleep(0.01)

    async def until_ready(self, count: int = 1, revision: str = "rev1") -> list[int]:
        """The pids of the ready replicas, once there are exactly so many."""
        seen = await self.until(lambda o: o.ready_replicas == count and len(o.replicas) == count, revision)
        return [replica.pid for replica in seen.replicas if replica.state is ReplicaState.READY]

    async def until_gone(self, revision: str = "rev1") -> None:
        """Until the agent no longer reports the revision."""
        deadline = time.monotonic() + 10
        while await self.observe(revision) is not None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    def log(self, revision: str = "rev1") -> str:
        """What the revision's replicas printed."""
        file = self.data.replica_log(revision)
        return file.read_text() if file.exists() else ""

    def launches(self, revision: str = "rev1") -> int:
        """How often a worker of the revision has begun."""
        return self.log(revision).count("launch {")

    def records(self) -> list[ReplicaRecord]:
        """The pid files of processes that run."""
        return list(ReplicaRecords(self.data.run).living())

    async def close(self) -> None:
        """End everything that was started here."""
        await self.engine.close()
        for watch in self.watches:
            await watch.close()
        for agent in self._agents:
            agent.kill()
            agent.wait()
        for record in self.records():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(record.pid, signal.SIGKILL)
        await asyncio.to_thread(self._remove)

    def _remove(self) -> None:
        """Remove the folder. A process that was killed may have written into it until a moment ago."""
        until = time.monotonic() + 10
        while True:
            try:
                shutil.rmtree(self.root)
            except FileNotFoundError:
                return
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)


class Watch:
    """A gateway's connection to the agent: it sends lines and sees what is pushed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._number = 0

    @classmethod
    async def open(cls, machine: Machine) -> "Watch":
        """A connection that ends with the machine at the latest."""
        watch = cls(*await asyncio.open_unix_connection(machine.data.agent_socket))
        machine.watches.append(watch)
        return watch

    def send(self, line: bytes) -> None:
        """Send a line as it is."""
        self._writer.write(line + b"\n")

    def ask(self, verb: str, **arguments: object) -> None:
        """Send a request, without waiting for its answer."""
        self._number += 1
        self.send(msgspec.json.encode({"id": self._number, "verb": verb, **arguments}))

    async def line(self) -> dict[str, Any]:
        """The next line."""
        async with asyncio.timeout(10):
            line: dict[str, Any] = json.loads(await self._reader.readline())
        return line

    def pause(self) -> None:
        """Read no more."""
        transport = self._writer.transport
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()

    async def addresses(self, holds: Callable[[RevisionAddresses], bool] = lambda _: True) -> RevisionAddresses:
        """The next pushed addresses of which that is so."""
        while True:
            line = await self.line()
            if "addresses" in line:
                addresses = msgspec.convert(line["addresses"], RevisionAddresses)
                if holds(addresses):
                    return addresses

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
