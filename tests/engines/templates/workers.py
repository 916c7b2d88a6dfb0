"""A machine whose replicas are real workers with probe models, under a real agent."""

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

from tests.engines.machine import Machine, eventually
from tests.worker.replica import OVERLAY, probe_model
from tidegate.core.endpoint.revision import Environment, EnvironmentDigest, Replica, RevisionObservation
from tidegate_worker.ipc import wire

ENVIRONMENT = Environment(EnvironmentDigest("e1"), sys.executable, str(OVERLAY))


class Workers:
    """A machine whose replicas are real workers with probe models."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.began = 0.0  # when its agent did, in seconds of the monotonic clock

    async def start_agent(self) -> None:
        """Start an agent that serves."""
        await self.machine.start_agent()
        self.began = time.monotonic()

    async def hold(self, revision: str, kind: str = "probe", **changes: Any) -> None:
        """Have the agent hold replicas of a probe model."""
        model = self.machine.root / f"model-{kind}"
        if not model.exists():
            probe_model(model, kind, example="say:hello")
        values = {"model_dir": str(model), "environment": ENVIRONMENT, "environment_vars": (), **changes}
        await self.machine.engine.apply(self.machine.target(revision, **values))

    async def decided(self, revision: str) -> dict[str, Any]:
        """How further replicas start, once that is known."""
        seen = await self.machine.until(lambda o: o.proof is not None and o.proof.start is not None, revision, 60)
        assert seen.proof is not None
        return dict(seen.proof.start or {})

    async def ready(self, revision: str, count: int = 1) -> list[Replica]:
        """The replicas, once so many are ready and nothing else is there."""
        seen = await self.machine.until(lambda o: _ready(o, count), revision, 60)
        return list(seen.replicas)

    async def restart(self, revision: str) -> Replica:
        """Its one replica, after it had none."""
        await self.hold(revision, replicas=0)
        await self.machine.until(lambda o: not o.replicas, revision)
        await self.hold(revision, replicas=1)
        [replica] = await self.ready(revision)
        return replica

    async def template(self) -> int:
        """The pid of the only template. What it has just forked bears its title for a moment more."""
        found = await eventually(lambda: pids if len(pids := self.templates()) == 1 else [])
        return found[0]

    async def warm_template(self) -> None:
        """Wait until a template has imported all, and so has forked a child ahead."""
        await eventually(lambda: self.templates("tidegate: template e1, forked ahead"), within=30)

    def templates(self, title: str = "tidegate: template e1") -> list[int]:
        """The pids of the templates that run: those of our own that have that title."""
        agent = self.machine.agent_pid
        children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
        return [int(pid) for pid in children if _title(int(pid)) == title]


def _ready(seen: RevisionObservation, count: int) -> bool:
    return len(seen.replicas) == count == seen.ready_replicas


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    except OSError:
        return ""


def ask(replica: Replica, revision: str, command: str) -> Any:
    """What a probe says to a command."""
    with socket.socket(socket.AF_UNIX) as gateway:
        gateway.settimeout(30)
        gateway.connect(replica.address.path)
        hello = {"protocol": wire.PROTOCOL, "revision": revision, "secret": replica.address.secret}
        gateway.sendall(wire.frame(wire.HELLO, json.dumps(hello).encode()))
        body = json.dumps({"inputs": {"command": [command]}}).encode()
        meta = wire.pack_meta([("content-type", "application/json")])
        gateway.sendall(wire.pack_requests([wire.Request(1, 30_000, 0, meta, body)]))
        frames = wire.Frames()
        while True:
            for kind, payload in frames.feed(gateway.recv(65536)):
                if kind == wire.ANSWERS:
                    [answer] = wire.unpack_answers(payload)
                    assert answer.outcome == wire.OK, answer.body
                    return json.loads(answer.body)["predictions"][0]


def welcome(replica: Replica, revision: str) -> dict[str, Any]:
    """What a replica says to a gateway that introduces itself."""
    with socket.socket(socket.AF_UNIX) as gateway:
        gateway.connect(replica.address.path)
        hello = {"protocol": wire.PROTOCOL, "revision": revision, "secret": replica.address.secret}
        gateway.sendall(wire.frame(wire.HELLO, json.dumps(hello).encode()))
        frames = wire.Frames()
        while True:
            for kind, payload in frames.feed(gateway.recv(65536)):
                if kind == wire.WELCOME:
                    return dict(json.loads(bytes(payload)))
