"""A real agent over real processes: starting, failing, draining, and what is told of it."""

import asyncio
import json
import os
import signal
import stat
import time
from pathlib import Path

from tests.engines.machine import Machine, Watch, eventually, running
from tidegate.core.endpoint.revision import Proof, ReplicaState, RevisionId
from tidegate.engines.linux.replica_deadline import LOOK_SECONDS

REV = RevisionId("rev1")


async def test_a_target_becomes_a_ready_replica(machine: Machine) -> None:
    await machine.start_agent()
    target = machine.target()
    await machine.engine.apply(target)
    seen = await machine.until(lambda o: o.ready_replicas == 1)
    assert seen.target == target
    assert seen.proof == Proof("signature")
    assert (seen.failed_starts, seen.message) == (0, "")
    [replica] = seen.replicas
    assert running(replica.pid)
    assert os.getsid(replica.pid) == replica.pid
    assert stat.S_IMODE(machine.data.agent_socket.stat().st_mode) == 0o600
    assert stat.S_IMODE((machine.data.run / f"{replica.id}.json").stat().st_mode) == 0o600


async def test_the_worker_is_told_what_it_must_know(machine: Machine) -> None:
    await machine.start_agent(start_timeout_seconds=100)
    await machine.engine.apply(machine.target(timeout_seconds=7))
    seen = await machine.until(lambda o: o.ready_replicas == 1)
    line = next(line for line in machine.log().splitlines() if line.startswith("launch "))
    launch = json.loads(line.removeprefix("launch "))
    address = seen.replicas[0].address
    assert 0 < time.monotonic() - launch.pop("asked_at") < 10
    assert launch == {
        "revision": "rev1",
        "endpoint": "wine",
        "served_entity": "wine-1",
        "model_dir": str(machine.root / "model"),
        "socket": address.path,
        "secret": address.secret,
        "timeout_seconds": 7,
        "proved": False,
        "load_timeout_seconds": 90,
        "batching": "auto",
        "proof": None,
        "imports_file": str(machine.data.root / "imports" / "e1.json"),
        "refutations_file": str(machine.data.root / "targets" / "rev1.refuted"),
        "scratch": str(machine.data.scratch / seen.replicas[0].id),
        "temporary": str(machine.data.scratch / seen.replicas[0].id),
        "trials": True,
        "trial": False,
        "answer": None,
    }


async def test_no_secret_and_no_descriptor_of_the_server_reaches_a_replica(machine: Machine) -> None:
    read, write = os.pipe()  # a descriptor that the agent inherits
    agent = await machine.start_agent(life_line=read)
    os.close(read)
    await machine.engine.apply(machine.target(environment_vars=(("STUB", ""), ("MODEL_KEY", "given"))))
    [pid] = await machine.until_ready()
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    [secret] = [record.address.secret for record in machine.records()]
    assert b"TIDEGATE_TOKEN=hidden" in Path(f"/proc/{agent.pid}/environ").read_bytes()
    assert b"TIDEGATE" not in environ
    assert secret.encode() not in environ + Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b"MODEL_KEY=given" in environ
    names = {file.name: str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    assert set(names) == {"0", "1", "2", "3", "4", "5"}  # 4 is its own deadline, 5 its own listening socket
    assert names["1"] == names["2"] == str(machine.data.replica_log("rev1"))
    os.close(write)


async def test_a_gateway_is_told_at_once_and_at_every_change(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(replicas=0))
    watch = await Watch.open(machine)
    watch.ask("wake", revision="rev1")
    assert await watch.line() == {"id": 1, "ok": True, "result": None}
    first = await watch.addresses()
    assert (first.known, first.replicas) == (True, ())
    woken = await watch.addresses()
    [(replica, address)] = woken.replicas
    seen = await machine.observe()
    assert seen is not None
    assert seen.target.replicas == 1
    assert [(r.id, r.address) for r in seen.replicas] == [(replica, address)]
    os.kill(seen.replicas[0].pid, signal.SIGKILL)
    assert (await watch.addresses()).replicas == ()
    again = await watch.addresses(lambda a: bool(a.replicas))
    assert again.replicas[0][0] != replica
    watch.ask("unwatch", revision="rev1")
    assert (await watch.line())["id"] == 2
    await watch.close()


async def test_watching_wakes_nothing(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(replicas=0))
    watch = await Watch.open(machine)
    watch.ask("watch", revision="rev1")
    assert (await watch.addresses()).replicas == ()
    seen = await machine.observe()
    assert seen is not None
    assert (seen.target.replicas, seen.replicas) == (0, ())
    await machine.engine.apply(machine.target())
    assert len((await watch.addresses()).replicas) == 1
    await watch.close()


async def test_waking_is_idempotent_and_survives_the_agent(machine: Machine) -> None:
    agent = await machine.start_agent()
    await machine.engine.apply(machine.target(replicas=0))
    watch = await Watch.open(machine)
    for _ in range(3):
        watch.ask("wake", revision="rev1")
    [pid] = await machine.until_ready()
    assert machine.launches() == 1
    await watch.close()
    agent.kill()
    agent.wait()
    await machine.start_agent()
    assert await machine.until_ready() == [pid]


async def test_waking_what_is_not_held_is_told_and_followed(machine: Machine) -> None:
    await machine.start_agent()
    watch = await Watch.open(machine)
    watch.ask("wake", revision="rev1")
    assert not (await watch.addresses()).known
    await machine.engine.apply(machine.target())
    assert len((await watch.addresses(lambda a: a.known and bool(a.replicas))).replicas) == 1
    await machine.engine.remove(REV)
    assert not (await watch.addresses(lambda a: not a.known)).replicas
    await watch.close()


async def test_a_killed_replica_is_started_again_at_once(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target())
    [pid] = await machine.until_ready()
    os.kill(pid, signal.SIGKILL)
    seen = await machine.until(lambda o: o.ready_replicas == 1 and o.replicas[0].pid != pid)
    assert seen.failed_starts == 0
    assert [notice.kind for notice in seen.notices] == ["replica_ended"]
    assert "SIGKILL" in machine.log()


async def test_a_replica_that_keeps_dying_is_started_less_and_less_often(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="die:0.01"))
    await eventually(lambda: machine.launches() >= 2)
    second = time.monotonic()
    await eventually(lambda: machine.launches() >= 3)
    assert time.monotonic() - second > 0.4
    assert "SIGSEGV" in machine.log()


async def test_an_enforced_deadline_is_no_crash(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="alarm:0.01"))
    began = time.monotonic()
    await eventually(lambda: machine.launches() >= 6)  # crashes would have waited 0.5 + 1 + 2 + 4 s
    assert time.monotonic() - began < 7
    assert "ended at its deadline" in machine.log()


async def test_one_that_does_not_come_back_at_its_deadline_is_ended_and_replaced(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="late:1.5"))
    seen = await machine.until(lambda o: bool(o.notices))
    await eventually(lambda: machine.launches() >= 2)
    [notice] = seen.notices
    assert notice.kind == "replica_ended"
    assert notice.message.startswith("The replica was ended after its deadline: a prediction took longer than it may")
    assert seen.message == notice.message
    assert seen.failed_starts == 0


async def test_one_that_comes_back_or_is_not_late_enough_is_let_be(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target("idle"))
    await machine.engine.apply(machine.target("working", stub="late:-60"))
    before = await machine.until_ready(revision="idle"), await machine.until_ready(revision="working")
    await asyncio.sleep(2 * LOOK_SECONDS)
    assert (await machine.until_ready(revision="idle"), await machine.until_ready(revision="working")) == before


async def test_a_load_that_does_not_end_at_its_deadline_is_a_failed_start(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="late:1.5 hang"))
    seen = await machine.until(lambda o: o.failed_starts == 1)
    assert seen.message.startswith("The replica was ended after its deadline: loading took too long")


async def test_what_a_replica_finds_out_later_is_on_the_proof_and_told_once(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="doubt", replicas=2))
    seen = await machine.until(lambda o: o.ready_replicas == 2 and bool(o.notices))
    assert seen.proof is not None
    assert seen.proof.example == "signature"
    assert seen.proof.batching is not None
    assert seen.proof.batching["mode"] == "off"
    [notice] = seen.notices
    assert notice.kind == "serving"
    assert notice.message == "Batching is off, requests take the compiled path: a live request got another answer."


async def test_a_failed_start_is_told_in_the_workers_words(machine: Machine) -> None:
    await machine.start_agent()
    watch = await Watch.open(machine)
    watch.ask("wake", revision="rev1")
    await machine.engine.apply(machine.target(stub="fail"))
    told = await watch.addresses(lambda a: bool(a.message))
    assert told.message == "The model does not load: no module named 'crystal'."
    assert told.known
    seen = await machine.until(lambda o: o.failed_starts == 2)
    assert seen.message == told.message
    assert seen.ready_replicas == 0
    await watch.close()


async def test_it_is_told_when_the_model_was_loaded_be_the_start_a_failure_or_not(machine: Machine) -> None:
    await machine.start_agent()
    began = time.time()
    await machine.engine.apply(machine.target(stub="loads fail"))
    failed = await machine.until(lambda o: o.failed_starts >= 1)
    assert began <= failed.failed_loaded_at <= time.time()
    await machine.engine.apply(machine.target(stub="loads"))
    (replica,) = (await machine.until(lambda o: o.ready_replicas == 1)).replicas
    assert began <= replica.started_at <= replica.loaded_at <= replica.ready_at <= time.time()


async def test_how_a_start_ended_is_told(machine: Machine) -> None:
    await machine.start_agent()
    for revision, stub, words in (("a", "exit:3", "exited with code 3"), ("b", "abort", "ended by SIGABRT")):
        await machine.engine.apply(machine.target(revision, stub))
        seen = await machine.until(lambda o: o.failed_starts == 1, revision)
        assert words in seen.message
        assert "see the log" in seen.message


async def test_a_replica_that_can_no_longer_tell_that_it_is_ready_is_a_failed_start(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="mute"))
    seen = await machine.until(lambda o: o.failed_starts == 1)
    assert seen.message.startswith(
        "The model has closed the file descriptor by which its replica tells that it is ready"
    )


async def test_an_interpreter_that_is_not_there_is_a_failed_start(machine: Machine) -> None:
    await machine.start_agent()
    target = machine.target()
    environment = type(target.environment)(target.environment.digest, "/nowhere/python", "/nowhere")
    await machine.engine.apply(machine.target(environment=environment))
    seen = await machine.until(lambda o: o.failed_starts == 1)
    assert "/nowhere/python" in seen.message


async def test_a_start_that_takes_too_long_is_ended(machine: Machine) -> None:
    await machine.start_agent(start_timeout_seconds=0.3)
    await machine.engine.apply(machine.target(stub="hang"))
    seen = await machine.until(lambda o: o.failed_starts == 1)
    assert "engine.start_timeout_seconds" in seen.message
    await machine.until(lambda o: o.failed_starts == 2)


async def test_removing_drains_and_forgets(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target())
    [pid] = await machine.until_ready()
    await machine.engine.remove(REV)
    await machine.until_gone()
    assert not running(pid)
    await eventually(lambda: not list(machine.data.targets.iterdir()))
    assert {file.name for file in machine.data.run.iterdir()} == {"agent.sock", "agent.lock", "exits"}
    assert "ended by" not in machine.log()


async def test_what_does_not_drain_is_killed_with_all_it_started(machine: Machine) -> None:
    await machine.start_agent(drain_timeout_seconds=0.3)
    await machine.engine.apply(machine.target(stub="deaf child"))
    [pid] = await machine.until_ready()
    child = int(machine.log().split("child ")[1].split()[0])
    assert running(child)
    await machine.engine.remove(REV)
    seen = await machine.observe()
    assert seen is not None  # until its last process has ended
    assert [replica.state for replica in seen.replicas] == [ReplicaState.DRAINING]
    await machine.until_gone()
    assert not running(pid)
    await eventually(lambda: not running(child))


async def test_applying_during_the_drain_of_a_removal_cancels_it(machine: Machine) -> None:
    await machine.start_agent(drain_timeout_seconds=0.5)
    await machine.engine.apply(machine.target(stub="deaf"))
    [old] = await machine.until_ready()
    await machine.engine.remove(REV)
    await machine.engine.apply(machine.target(stub="deaf"))
    [new] = await machine.until_ready()
    assert new != old
    assert not running(old)
    assert (machine.data.targets / "rev1.json").exists()


async def test_fewer_replicas_drain_the_surplus(machine: Machine) -> None:
    await machine.start_agent(concurrent_starts=4)
    await machine.engine.apply(machine.target(replicas=2))
    both = await machine.until_ready(2)
    await machine.engine.apply(machine.target(replicas=1))
    [left] = await machine.until_ready(1)
    assert left in both


async def test_another_launch_replaces_replicas_and_starts_before_it_stops(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target())
    [old] = await machine.until_ready()
    watch = await Watch.open(machine)
    watch.ask("wake", revision="rev1")
    first = await watch.addresses()
    await machine.engine.apply(machine.target(stub="slow:0.2", timeout_seconds=5))
    both_or_new = await watch.addresses()
    assert first.replicas
    assert both_or_new.replicas  # never none
    [new] = await machine.until_ready()
    assert new != old
    await watch.close()


async def test_counts_and_proof_restart_nothing(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target())
    [pid] = await machine.until_ready()
    await machine.engine.apply(machine.target(proved=True, max_replicas=7, min_replicas=1))
    seen = await machine.until(lambda o: o.target.max_replicas == 7)
    assert [replica.pid for replica in seen.replicas] == [pid]
    assert seen.proof == Proof("signature")


async def test_starts_at_once_are_limited(machine: Machine) -> None:
    await machine.start_agent(concurrent_starts=2)
    for number in range(5):
        await machine.engine.apply(machine.target(f"r{number}", "slow:0.1"))
    most = 0
    while True:
        seen = [replica for one in (await machine.engine.observe()).values() for replica in one.replicas]
        most = max(most, sum(replica.state is ReplicaState.STARTING for replica in seen))
        if sum(replica.state is ReplicaState.READY for replica in seen) == 5:
            break
    assert most == 2


async def test_sigterm_drains_everything(machine: Machine) -> None:
    agent = await machine.start_agent(drain_timeout_seconds=0.5)
    await machine.engine.apply(machine.target("a"))
    await machine.engine.apply(machine.target("b", "deaf"))
    pids = await machine.until_ready(revision="a") + await machine.until_ready(revision="b")
    agent.terminate()
    await eventually(lambda: agent.poll() is not None)
    assert agent.returncode == 0
    assert not any(map(running, pids))
    assert len(list(machine.data.targets.iterdir())) == 2  # held again after the next start
    assert not machine.data.agent_socket.exists()


async def test_everything_ends_within_two_seconds_of_the_supervisor(machine: Machine) -> None:
    read, write = os.pipe()
    agent = await machine.start_agent(life_line=read)
    os.close(read)
    await machine.engine.apply(machine.target(stub="deaf"))
    [pid] = await machine.until_ready()
    os.close(write)
    gone = time.monotonic()
    await eventually(lambda: agent.poll() is not None)
    assert time.monotonic() - gone < 2
    assert not running(pid)


async def test_a_second_agent_refuses(machine: Machine) -> None:
    await machine.start_agent()
    second = machine.spawn_agent()
    await eventually(lambda: second.poll() is not None)
    assert second.returncode == 1
    assert "Another agent" in (machine.root / "agent.log").read_text()
    assert await machine.engine.observe() == {}


async def test_orphans_of_replicas_leave_no_zombie(machine: Machine) -> None:
    agent = await machine.start_agent()
    await machine.engine.apply(machine.target(stub="child"))
    [pid] = await machine.until_ready()
    child = int(machine.log().split("child ")[1].split()[0])
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not Path(f"/proc/{child}").exists())
    assert agent.poll() is None
