"""A template that is warm: it answers, is killed, stopped, and made again. One machine for all tests here.

Each begins with the revision `a`, which forks from a template that is there, and leaves no other.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.engines.machine import Machine, Watch, eventually, running
from tests.engines.templates.workers import Workers, welcome
from tidegate.core.endpoint.revision import ReplicaState, RevisionId

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Workers]:
    machine = Machine()
    workers = Workers(machine)
    await workers.start_agent()
    yield workers
    await machine.close()


@pytest_asyncio.fixture(loop_scope="module")
async def workers(shared: Workers) -> AsyncIterator[Workers]:
    await shared.hold("a")
    await shared.ready("a")
    assert (await shared.decided("a"))["mode"] == "fork"
    await shared.warm_template()
    yield shared
    await shared.machine.engine.remove(RevisionId("b"))
    await shared.machine.until_gone("b")


async def test_a_killed_template_comes_back_on_demand_and_is_waited_for(workers: Workers) -> None:
    await asyncio.sleep(workers.began + 5 - time.monotonic())  # a new agent does not wait for one
    template = await workers.template()
    os.kill(template, signal.SIGKILL)
    await eventually(lambda: not running(template))
    assert (await workers.restart("a")).forked
    assert workers.templates() != [template]


async def test_a_wake_is_answered_by_a_fork_and_a_new_revision_of_the_environment_forks_at_once(
    workers: Workers,
) -> None:
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


async def test_a_stopped_template_does_not_hold_up_a_start(workers: Workers) -> None:
    template = await workers.template()
    os.kill(template, signal.SIGSTOP)
    assert not (await workers.restart("a")).forked
    assert "did not fork within 2 s" in workers.machine.log("a")
    assert not running(template)


async def test_a_first_start_that_fails_in_a_fork_is_spawned_before_it_is_called_failed(workers: Workers) -> None:
    await workers.hold("b", "dying in a fork")
    [replica] = await workers.ready("b")
    assert not replica.forked
    start = await workers.decided("b")
    assert start["mode"] == "spawn"
    assert "SIGABRT" in start["reason"]
    seen = await workers.machine.observe("b")
    assert seen is not None
    assert seen.failed_starts == 0


async def test_templates_end_with_their_agent_and_forks_live_on(workers: Workers) -> None:
    machine = workers.machine
    replica = await workers.restart("a")
    assert replica.forked
    template = await workers.template()
    machine.kill_agent()
    await eventually(lambda: not running(template))
    assert running(replica.pid)
    await workers.start_agent()
    [adopted] = await workers.ready("a")
    assert (adopted.pid, adopted.forked, adopted.state) == (replica.pid, True, ReplicaState.READY)
    await eventually(workers.templates, within=30)  # for the next one


async def test_the_next_agent_has_templates_for_what_sleeps(workers: Workers) -> None:
    machine = workers.machine
    await workers.hold("a", replicas=0)
    await machine.until(lambda o: not o.replicas, "a")
    machine.kill_agent()
    await workers.start_agent()
    await workers.warm_template()
    await workers.hold("a", replicas=1)
    [replica] = await workers.ready("a")
    assert replica.forked


async def test_a_template_that_no_revision_needs_ends(workers: Workers) -> None:
    template = await workers.template()
    await workers.machine.engine.remove(RevisionId("a"))
    await workers.machine.until_gone("a")
    await eventually(lambda: not running(template))
