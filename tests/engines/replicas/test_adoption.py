"""Replicas outlive their agent: what the next one takes over, and what it does not."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.engines.machine import Machine, Watch, eventually, running
from tidegate.core.endpoint.revision import Proof, ReplicaState
from tidegate.engines.replicas.replica_record import ReplicaRecords

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def supervisor() -> Iterator[None]:
    """Be the supervisor of this test's agents: their orphans become children of this process."""
    prctl = ctypes.CDLL(None).prctl
    assert prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    assert prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


async def test_a_new_agent_adopts_and_starts_nothing_more(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target("a"))
    await machine.engine.apply(machine.target("b"))
    before = [await machine.until_ready(revision="a"), await machine.until_ready(revision="b")]
    machine.kill_agent()
    assert all(running(pid) for [pid] in before)
    await machine.start_agent()
    assert [await machine.until_ready(revision="a"), await machine.until_ready(revision="b")] == before
    watch = await Watch.open(machine)
    watch.ask("wake", revision="a")
    assert len((await watch.addresses()).replicas) == 1  # in its very first answer
    await watch.close()
    seen = await machine.observe("a")
    assert seen is not None
    assert seen.proof == Proof("signature")
    assert (machine.launches("a"), machine.launches("b")) == (1, 1)


async def test_an_adopted_replica_is_held_to_its_deadline(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="late:0.5"))
    [pid] = await machine.until_ready()
    machine.kill_agent()
    await machine.start_agent()
    await eventually(lambda: not running(pid))
    assert "ended after its deadline" in machine.log()


async def test_a_replica_is_adopted_while_it_starts(machine: Machine) -> None:
    await machine.start_agent()
    gate = machine.root / "gate"
    await machine.engine.apply(machine.target(stub=f"gate:{gate}"))
    await eventually(machine.launches)
    machine.kill_agent()
    [record] = machine.records()
    assert not record.ready
    await machine.start_agent()
    seen = await machine.observe()
    assert seen is not None
    assert [replica.state for replica in seen.replicas] == [ReplicaState.STARTING]
    gate.touch()
    assert await machine.until_ready() == [record.pid]
    assert machine.launches() == 1
    proved = await machine.until(lambda o: o.proof is not None)
    assert proved.proof == Proof("signature")  # learnt from its WELCOME


async def test_an_adopted_start_has_its_deadline_too(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="hang"))
    await eventually(machine.launches)
    machine.kill_agent()
    await machine.start_agent(start_timeout_seconds=0.5)
    seen = await machine.until(lambda o: o.failed_starts >= 1)
    assert "engine.start_timeout_seconds" in seen.message


async def test_the_supervisor_tells_how_an_adopted_replica_ended(machine: Machine, supervisor: None) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target())
    [pid] = await machine.until_ready()
    machine.kill_agent()
    await machine.start_agent()
    os.kill(pid, signal.SIGALRM)
    _, status = os.waitpid(pid, 0)
    (machine.data.exits / str(pid)).write_text(str(status))
    await machine.until(lambda o: o.ready_replicas == 1 and o.replicas[0].pid != pid)
    assert "ended at its deadline" in machine.log()
    assert not list(machine.data.exits.iterdir())


async def test_without_the_supervisors_word_the_status_is_unknown(machine: Machine, supervisor: None) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target())
    [pid] = await machine.until_ready()
    machine.kill_agent()
    await machine.start_agent()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    await machine.until(lambda o: o.ready_replicas == 1 and o.replicas[0].pid != pid)
    assert "status unknown" in machine.log()


async def test_one_that_ends_while_it_is_greeted_is_told_with_its_end(machine: Machine, tmp_path: Path) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub=f"falls:{tmp_path}/now"))
    [pid] = await machine.until_ready()
    machine.kill_agent()
    (tmp_path / "now").touch()
    await machine.start_agent()
    await eventually(lambda: not running(pid))
    (tmp_path / "now").unlink()
    await machine.until(lambda o: o.ready_replicas == 1 and o.replicas[0].pid != pid)
    assert "The replica ended" in machine.log()


async def test_a_pid_that_now_belongs_to_another_is_left_alone(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target())
    [pid] = await machine.until_ready()
    machine.kill_agent()
    [record] = machine.records()
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    ReplicaRecords(machine.data.run).write(msgspec.structs.replace(record, pid=stranger.pid))
    await machine.start_agent()
    [new] = await machine.until_ready()
    assert new not in (pid, stranger.pid)
    await eventually(lambda: not running(pid))  # which nobody could talk to any more
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


async def test_replicas_of_an_unknown_target_are_ended(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target())
    [pid] = await machine.until_ready()
    machine.kill_agent()
    (machine.data.targets / "rev1.json").unlink()
    await machine.start_agent()
    await eventually(lambda: not running(pid))
    assert await machine.engine.observe() == {}


async def test_a_corrupt_target_is_set_aside_and_the_others_held(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target("good"))
    await machine.until_ready(revision="good")
    machine.kill_agent()
    (machine.data.targets / "bad.json").write_bytes(b'{"target": \xff')
    (machine.data.run / "0badf00d.json").write_bytes(b"{")
    await machine.start_agent()
    await machine.until_ready(revision="good")
    assert set(await machine.engine.observe()) == {"good"}
    assert (machine.data.targets / "bad.json.corrupt").exists()
    assert "corrupt" in (machine.root / "agent.log").read_text()
    await machine.engine.apply(machine.target("bad"))
    await machine.until_ready(revision="bad")


async def test_another_protocol_is_replaced(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="foreign"))
    [pid] = await machine.until_ready()
    machine.kill_agent()
    await machine.start_agent()
    await eventually(lambda: not running(pid))
    assert await machine.until_ready() != [pid]


async def test_a_removal_goes_on_after_a_restart(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="deaf"))
    [pid] = await machine.until_ready()
    await machine.engine.remove(machine.target().revision)
    machine.kill_agent()
    await machine.start_agent(drain_timeout_seconds=0.2)
    assert await machine.observe() is not None
    await machine.until_gone()
    assert not running(pid)


async def test_a_socket_that_is_gone_makes_a_replica_useless(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target())
    [pid] = await machine.until_ready()
    machine.kill_agent()
    [record] = machine.records()
    Path(record.address.path).unlink()
    await machine.start_agent()
    await eventually(lambda: not running(pid))
    assert await machine.until_ready() != [pid]
