"""No defect ends the agent or one of its loops: functions raise at their first call, and what they are for happens."""

import asyncio
import time

import pytest

from tests.engines.machine import Machine, eventually
from tests.engines.templates.workers import Workers
from tidegate.engines.templates import templates


class Defects:
    """Functions that raise at their first call in the next agent."""

    def __init__(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        self._machine, self._monkeypatch = machine, monkeypatch
        self._planted: tuple[str, ...] = ()

    def plant(self, *places: str) -> None:
        """Each is `module:Class.function`, below `tidegate.engines`."""
        self._planted = tuple(f"tidegate.engines.{place}" for place in places)
        self._monkeypatch.setenv("DEFECTS", " ".join(self._planted))

    async def all_logged(self) -> None:
        """Wait until the agent has logged each with its traceback."""
        log = self._machine.root / "agent.log"
        await eventually(
            lambda: all(f"LookupError: planted in {place}\n" in log.read_text() for place in self._planted)
        )


@pytest.fixture
def defects(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Defects:
    return Defects(machine, monkeypatch)


async def test_the_loops_of_an_agent_go_on(machine: Machine, defects: Defects) -> None:
    defects.plant(
        "replicas.fleet:Fleet.decide",
        "replicas.fleet:Fleet.note_capacity",
        "agent.agent_server:_Connection.publish",
        "replicas.launcher:Launcher.spawn",
        "replicas.launcher:Launcher.clear",
        "replicas.fork_trials:ForkTrials.run",
        "replicas.replica_process:ReplicaProcess._take",
        "linux.replica_deadline:Deadline.missed",
        "linux.process_usage:cpu_seconds",
        "linux.process_usage:memory_bytes",
    )
    agent = await machine.start_agent(template_memory_mb=-1)
    await machine.engine.apply(machine.target(stub="doubt"))
    await machine.until(lambda o: bool(o.replicas) and o.replicas[0].memory_bytes > 0)
    await defects.all_logged()
    await machine.engine.remove(machine.target().revision)
    await machine.until_gone()
    await machine.engine.apply(machine.target())
    await machine.until_ready()
    assert agent.poll() is None


async def test_the_next_agent_goes_on(machine: Machine, defects: Defects) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target())
    [pid] = await machine.until_ready()
    machine.kill_agent()
    defects.plant(
        "replicas.replicas:greet",
        "replicas.applied_targets:AppliedTargets.forget",
        "templates.templates:Templates.make",
    )
    agent = await machine.start_agent()
    assert await machine.until_ready() == [pid]
    await machine.engine.apply(machine.target(replicas=2))
    assert pid in await machine.until_ready(2)
    await machine.engine.remove(machine.target().revision)
    await machine.until_gone()
    await defects.all_logged()
    assert agent.poll() is None


async def test_a_trial_or_a_fork_that_fails_means_a_spawned_replica(machine: Machine, defects: Defects) -> None:
    defects.plant("replicas.launcher:Launcher.fork_trial", "replicas.launcher:Launcher.fork")
    agent, workers = await machine.start_agent(), Workers(machine)
    await workers.hold("a")
    assert (await workers.decided("a"))["mode"] == "spawn"
    await workers.hold("b")
    assert (await workers.decided("b"))["mode"] == "fork"
    await workers.hold("b", replicas=2)
    assert len(await workers.ready("b", 2)) == 2
    await defects.all_logged()
    assert agent.poll() is None


async def test_a_template_that_fails_is_made_again_later(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    made = templates.Templates(machine.data, {}, budget=1 << 30)
    changes: list[float] = []
    made.changed = lambda: changes.append(time.monotonic())
    target = machine.target()
    key = made.key_of(target)
    monkeypatch.setattr(templates, "imports_of", lambda *_: 1 / 0)
    making = asyncio.create_task(made.make())
    made.want(key, target, time.monotonic())
    await eventually(lambda: bool(changes))
    assert not making.done()
    assert not made.may_begin(key, time.monotonic())
    assert made.awaited_until(key, time.monotonic()) < 0
    making.cancel()
    await asyncio.wait([making])
