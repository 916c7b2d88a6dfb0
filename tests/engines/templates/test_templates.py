"""Warm templates under a real agent, with the real worker: fork tests, kills, evictions, variables."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.machine import Machine, eventually, running
from tests.engines.templates.workers import ENVIRONMENT, Workers, ask
from tidegate.core.endpoint.revision import (
    RevisionId,
    RevisionTarget,
)
from tidegate.data_directory import DataDirectory
from tidegate.engines.templates.template_process import NoFork, Template
from tidegate.engines.templates.templates import Templates, budget_bytes


@pytest.fixture
async def workers(machine: Machine) -> AsyncIterator["Workers"]:
    workers = Workers(machine)
    await workers.start_agent()
    yield workers


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
