"""Warm templates under a real agent, with the real worker: fork tests, kills, evictions, variables."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.machine import Machine, Watch, eventually, running
from tests.worker.replica import OVERLAY, probe_model
from tidegate.core.endpoint.revision import (
    Environment,
    EnvironmentDigest,
    Replica,
    ReplicaState,
    RevisionId,
    RevisionObservation,
    RevisionTarget,
)
from tidegate.data_directory import DataDirectory
from tidegate.engines.templates.template_process import NoFork, Template
from tidegate.engines.templates.templates import Templates, budget_bytes
from tidegate_worker.ipc import wire

ENVIRONMENT = Environment(EnvironmentDigest("e1"), sys.executable, str(OVERLAY))


@pytest.fixture
async def workers(machine: Machine) -> AsyncIterator["Workers"]:
    workers = Workers(machine)
    await machine.start_agent()
    yield workers


class Workers:
    """A machine whose replicas are real workers with probe models."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

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


async def test_a_revision_is_tried_and_then_forked(workers: Workers) -> None:
    await workers.hold("a")
    [first] = await workers.ready("a")
    assert not first.forked
    assert await workers.decided("a") == {"mode": "fork", "reason": ""}
    await workers.hold("a", replicas=3)
    replicas = await workers.ready("a", 3)
    assert [replica.forked for replica in replicas if replica.id != first.id] == [True] * (len(replicas) - 1)
    assert ask(replicas[-1], "a", "say:hello") == "say:hello"
    scratch = workers.machine.data.scratch
    for replica in replicas:
        assert Path(ask(replica, "a", "temporary:")).parent == scratch / replica.id
    template = await workers.template()
    own = Path(f"/proc/{template}/cwd").resolve().name
    # Neither the trial nor an earlier template has left its own.
    await eventually(lambda: {path.name for path in scratch.iterdir()} == {own, *(replica.id for replica in replicas)})
    assert "Replicas are forked from now on" in workers.machine.log("a")


async def test_a_wake_is_answered_by_a_fork_and_a_new_revision_of_the_environment_forks_at_once(
    workers: Workers,
) -> None:
    await workers.hold("a")
    await workers.decided("a")
    await workers.hold("a", replicas=0)
    await workers.machine.until(lambda o: not o.replicas, "a")
    watch = await Watch.open(workers.machine)
    asked = time.monotonic()
    watch.ask("wake", revision="a")
    await watch.addresses(lambda told: bool(told.replicas))
    [replica] = await workers.ready("a")
    assert replica.forked
    start = welcome(replica, "a")["start"]
    assert start["mode"] == "fork"
    assert asked < start["asked"] < start["forked"] < start["ready"]
    await watch.close()
    await workers.hold("b")
    [other] = await workers.ready("b")
    assert other.forked
    assert (await workers.decided("b"))["mode"] == "fork"


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


async def test_a_killed_template_comes_back_on_demand_and_is_waited_for(workers: Workers) -> None:
    await workers.hold("a")
    await workers.decided("a")
    await asyncio.sleep(5)  # a new agent does not wait for one
    template = await workers.template()
    os.kill(template, signal.SIGKILL)
    await eventually(lambda: not running(template))
    assert (await workers.restart("a")).forked
    assert workers.templates() != [template]


async def test_a_stopped_template_does_not_hold_up_a_start(workers: Workers) -> None:
    await workers.hold("a")
    await workers.decided("a")
    template = await workers.template()
    os.kill(template, signal.SIGSTOP)
    assert not (await workers.restart("a")).forked
    assert "did not fork within 2 s" in workers.machine.log("a")
    assert not running(template)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("other in a fork", "The model gives another answer to its example in a fork than in a process of its own."),
        ("dying in a fork", "it ended before it had answered its example"),
    ],
)
async def test_a_model_that_bears_no_fork_is_spawned_visibly(workers: Workers, kind: str, reason: str) -> None:
    await workers.hold("a", kind)
    start = await workers.decided("a")
    assert start["mode"] == "spawn"
    assert reason in start["reason"]
    await workers.hold("a", kind, replicas=0)
    await workers.machine.until(lambda o: not o.replicas, "a")
    await workers.hold("a", kind, replicas=1)
    [replica] = await workers.ready("a")
    assert not replica.forked
    assert reason in workers.machine.log("a")


async def test_a_first_start_that_fails_in_a_fork_is_spawned_before_it_is_called_failed(workers: Workers) -> None:
    await workers.hold("a")
    await workers.decided("a")
    await workers.hold("b", "dying in a fork")
    [replica] = await workers.ready("b")
    assert not replica.forked
    start = await workers.decided("b")
    assert start["mode"] == "spawn"
    assert "SIGABRT" in start["reason"]
    seen = await workers.machine.observe("b")
    assert seen is not None
    assert seen.failed_starts == 0


async def test_variables_make_another_template(workers: Workers) -> None:
    await workers.hold("a")
    await workers.hold("b", environment_vars=(("SHADE", "blue"),))
    await workers.decided("a")
    await workers.decided("b")
    await eventually(lambda: len(workers.templates()) == 2)
    for revision, shade in (("a", None), ("b", "blue")):
        changes: dict[str, Any] = {"environment_vars": (("SHADE", "blue"),)} if shade else {}
        await workers.hold(revision, replicas=0, **changes)
        await workers.machine.until(lambda o: not o.replicas, revision)
        await workers.hold(revision, replicas=1, **changes)
        [replica] = await workers.ready(revision)
        assert replica.forked
        assert ask(replica, revision, "variable:SHADE") == (shade or "variable:SHADE")
        assert ask(replica, revision, "variable:OMP_NUM_THREADS") == "1"


async def test_reserved_variables_of_endpoints_from_before_reach_no_replica(workers: Workers) -> None:
    """A configuration that is checked today has none."""
    folder = str(workers.machine.root)
    given = (("PYTHONHASHSEED", "7"), ("PYTHONPATH", folder), ("LD_LIBRARY_PATH", folder), ("PATH", folder))
    await workers.hold("a", environment_vars=given)
    [spawned] = await workers.ready("a")
    for name in ("PYTHONHASHSEED", "PYTHONPATH"):
        assert ask(spawned, "a", f"variable:{name}") == f"variable:{name}"
    assert ask(spawned, "a", "variable:PATH") == os.environ["PATH"]
    assert ask(spawned, "a", "variable:LD_LIBRARY_PATH") != folder
    assert ask(spawned, "a", "hash_of:wine")[1:] == [False, 1]  # the working directory and the user's packages


async def test_where_imports_start_threads_replicas_are_spawned_visibly(machine: Machine) -> None:
    """With more than one thread, numpy starts them when it is imported."""
    workers = Workers(machine)
    await machine.start_agent()
    await workers.hold("a", environment_vars=(("OMP_NUM_THREADS", "2"),))
    start = await workers.decided("a")
    assert start["mode"] == "spawn"
    assert start["reason"].startswith("Its imports start threads or keep files open (")
    assert workers.templates() == []


async def test_templates_end_with_their_agent_and_forks_live_on(workers: Workers) -> None:
    machine = workers.machine
    await workers.hold("a")
    await workers.decided("a")
    replica = await workers.restart("a")
    assert replica.forked
    template = await workers.template()
    machine.kill_agent()
    await eventually(lambda: not running(template))
    assert running(replica.pid)
    await machine.start_agent()
    [adopted] = await workers.ready("a")
    assert (adopted.pid, adopted.forked, adopted.state) == (replica.pid, True, ReplicaState.READY)
    await eventually(workers.templates, within=30)  # for the next one


async def test_the_next_agent_has_templates_for_what_sleeps(workers: Workers) -> None:
    machine = workers.machine
    await workers.hold("a")
    await workers.decided("a")
    await workers.hold("a", replicas=0)
    await machine.until(lambda o: not o.replicas, "a")
    machine.kill_agent()
    await machine.start_agent()
    await eventually(lambda: workers.templates("tidegate: template e1, forked ahead"), within=30)
    await workers.hold("a", replicas=1)
    [replica] = await workers.ready("a")
    assert replica.forked


async def test_one_that_forks_just_now_is_not_evicted(tmp_path: Path) -> None:
    templates = Templates(DataDirectory(tmp_path), {}, budget_bytes(300))
    target = RevisionTarget(RevisionId("a"), "probe", "probe-1", str(tmp_path), ENVIRONMENT, 0, 0, 1, 30.0)
    sleepers = [await asyncio.create_subprocess_exec("sleep", "600") for _ in range(2)]
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in sleepers]
    for key, sleeper, (ours, _) in zip("kl", sleepers, pairs, strict=True):
        templates._warm[key] = Template(key, target, sleeper.pid, ours, tmp_path / key, templates._ended)
        templates._warm[key].memory_bytes = 1000
    oldest, theirs = templates._warm["k"], pairs[0][1]
    forked = asyncio.create_task(oldest.fork([theirs.fileno()]))
    await eventually(lambda: oldest.forking)
    assert templates.evict(1500) == 1000
    assert list(templates.warm) == ["k"]
    theirs.send(b'{"id":1,"pid":7}')
    assert await forked == 7
    assert templates.evict(1500) == 1000
    for sleeper, (_, other) in zip(sleepers, pairs, strict=True):
        await sleeper.wait()
        other.close()


@pytest.mark.parametrize(("age", "again"), [(30.0, ["k"]), (1.0, [])])
async def test_one_that_dies_is_made_again_unless_it_has_just_been_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, again: list[str]
) -> None:
    made: list[str] = []
    templates = Templates(DataDirectory(tmp_path), {}, budget_bytes(300))
    making = asyncio.create_task(templates.make())

    async def make(key: str, _target: object) -> None:
        made.append(key)

    monkeypatch.setattr(templates, "_make", make)
    (sleeper,) = [await asyncio.create_subprocess_exec("sleep", "600")]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    target = RevisionTarget(RevisionId("a"), "probe", "probe-1", str(tmp_path), ENVIRONMENT, 0, 0, 1, 30.0)
    template = Template("k", target, sleeper.pid, ours, tmp_path / "k", templates._ended)
    templates._warm["k"], templates._not_before["k"] = template, time.monotonic() - age + 20.0
    theirs.close()  # as it does when it dies
    await eventually(lambda: not templates.warm)
    await asyncio.sleep(0.1)
    assert made == again
    making.cancel()
    await sleeper.wait()


async def test_one_that_cannot_be_made_is_tried_again_ever_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: object) -> Template:
        raise NoFork("it has ended")

    templates = Templates(DataDirectory(tmp_path), {}, budget_bytes(300))
    monkeypatch.setattr(templates, "_warmed", killed)
    target = RevisionTarget(RevisionId("a"), "probe", "probe-1", str(tmp_path), ENVIRONMENT, 0, 0, 1, 30.0)
    pauses = []
    assert templates.may_begin("k", time.monotonic())
    for _ in range(8):
        began = time.monotonic()
        await templates._make("k", target)
        pauses.append(round(templates._not_before["k"] - began))
        assert not templates.may_begin("k", began + 100)  # a start no longer waits for it
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_a_template_that_no_revision_needs_ends(workers: Workers) -> None:
    await workers.hold("a")
    await workers.decided("a")
    template = await workers.template()
    await workers.machine.engine.remove("a")  # type: ignore[arg-type]
    await workers.machine.until_gone("a")
    await eventually(lambda: not running(template))


async def test_the_longest_unused_goes_when_memory_is_short(machine: Machine) -> None:
    workers = Workers(machine)
    await machine.start_agent(template_memory_mb=1)
    await workers.hold("a")
    await workers.decided("a")
    first = await workers.template()
    await workers.hold("b", environment_vars=(("SHADE", "blue"),))
    await eventually(lambda: not running(first), within=60)
    await workers.template()
    assert (await workers.decided("b"))["mode"] == "fork"


async def test_without_memory_for_templates_there_are_none(machine: Machine) -> None:
    workers = Workers(machine)
    await machine.start_agent(template_memory_mb=-1)
    await workers.hold("a")
    await workers.ready("a")
    assert workers.templates() == []


def test_the_budget_is_a_quarter_of_the_memory_at_most_four_gigabytes() -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert budget_bytes(300) == 300 * 1024 * 1024
    assert abs(budget_bytes(0) - min(memory / 4, 4 * 1024**3)) <= 1024 * 1024
    assert budget_bytes(-1) < 0
