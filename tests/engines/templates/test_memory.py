"""What replicas use, measured; room made and refused; and a model that leaks, under load. Real processes throughout."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.engines.machine import Machine, Watch, eventually
from tests.gateway.gateway_process import GatewayProcess, listener
from tests.gateway.house import TOKEN
from tests.worker.replica import OVERLAY, probe_model
from tidegate.core.endpoint.revision import Environment, EnvironmentDigest, RevisionId
from tidegate.engines.linux import process_usage
from tidegate.engines.linux.machine import this_machine

MB = 10**6

BUSY = "kept = b'x' * 50_000_000\nfor _ in range(10**9): pass"


async def test_a_process_is_measured() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY]) as process:
        pid = process.pid
        try:
            await eventually(lambda: (process_usage.memory_bytes(pid) or 0) > 50 * MB)
            await eventually(lambda: (process_usage.cpu_seconds(pid) or 0) > 0.2)
            memory, resident = process_usage.memory_bytes(pid), process_usage.resident_bytes(pid)
            assert memory is not None
            assert resident is not None
            assert memory <= resident < 150 * MB
        finally:
            process.kill()
    assert (process_usage.cpu_seconds(pid), process_usage.memory_bytes(pid), process_usage.resident_bytes(pid)) == (
        None,
        None,
        None,
    )


def test_a_zombie_has_no_memory() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert (process_usage.memory_bytes(pid), process_usage.resident_bytes(pid)) == (None, None)
    os.waitpid(pid, 0)


def test_memory_is_measured_when_it_may_have_changed() -> None:
    used = process_usage.Usage(cpu_seconds=1.0, resident_bytes=100)
    assert used.is_due(5.0)
    used.measured(50, 5.0)
    assert not used.is_due(5.0 + process_usage.MEASURE_IDLE_SECONDS - 1)
    assert used.is_due(5.0 + process_usage.MEASURE_IDLE_SECONDS)
    used.cpu_seconds = 1.1
    assert not used.is_due(5.0 + process_usage.MEASURE_SECONDS - 1)
    assert used.is_due(5.0 + process_usage.MEASURE_SECONDS)
    used.resident_bytes = 100 + process_usage.GROWTH_BYTES
    assert used.is_due(5.1)


@pytest.mark.parametrize(
    ("groups", "files", "memory"),
    [
        ("", {}, 9_216_000_000),
        ("0::/tidegate\n", {"tidegate/memory.max": "3000000000"}, 2_000_000_000),
        ("0::/tidegate/one\n", {"tidegate/one/memory.max": "max", "tidegate/memory.max": "1000000000"}, 500_000_000),
        ("4:memory:/t\n1:cpu:/\n", {"memory/t/memory.limit_in_bytes": "5000000000"}, 4_000_000_000),
    ],
)
def test_the_machine_is_what_its_cgroup_leaves(tmp_path: Path, groups: str, files: dict[str, str], memory: int) -> None:
    for name, content in {
        "proc/meminfo": "MemTotal: 10000000 kB\nMemFree: 1 kB\n",
        "proc/self/cgroup": groups,
        "proc/driver/nvidia/gpus/0000:01:00.0": "",
        **{f"sys/fs/cgroup/{name}": content for name, content in files.items()},
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    found = this_machine({}, root=tmp_path)
    assert (found.memory_bytes, found.gpus) == (memory, 1)
    assert this_machine({"CUDA_VISIBLE_DEVICES": "0,1,3"}, 7, tmp_path).gpus == 3
    assert this_machine({"CUDA_VISIBLE_DEVICES": ""}, 7, tmp_path).memory_bytes == 7


async def test_what_replicas_use_is_reported(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="eat:60"))
    seen = await machine.until(lambda o: any(replica.memory_bytes > 60 * MB for replica in o.replicas))
    assert 60 * MB < seen.replicas[0].memory_bytes < 120 * MB
    assert 0 < seen.replicas[0].cpu_seconds < 60


async def test_a_full_machine_says_so_and_an_idle_revision_makes_room(machine: Machine) -> None:
    await machine.start_agent(memory_gb_total=0.6)
    await machine.engine.apply(machine.target("idle", "eat:400", endpoint="tea", proved=True))
    await machine.engine.apply(machine.target("woken", "eat:200", replicas=0))
    await machine.until(lambda o: any(replica.memory_bytes > 400 * MB for replica in o.replicas), "idle")
    gateway = await Watch.open(machine)
    gateway.ask("used", revisions=["idle", "unknown"])
    gateway.ask("wake", revision="woken")
    waits = await machine.until(lambda o: bool(o.message), "woken")
    assert waits.message.startswith("There is no room for a replica of 'wine': it needs about 268 MB, and 1")
    assert " MB of 600 MB are free. 'tea' has 4" in waits.message
    assert [(notice.kind, notice.message) for notice in waits.notices] == [("no_capacity", waits.message)]
    told = await gateway.addresses(lambda addresses: bool(addresses.message))
    assert told.message == waits.message
    waiting = asyncio.create_task(wait_for("woken", gateway))
    seen = await machine.until(lambda o: o.ready_replicas == 1, "woken", within=20)
    waiting.cancel()
    assert seen.message == ""
    idle = await machine.until(lambda o: not o.replicas, "idle")
    [notice] = idle.notices
    assert notice.kind == "evicted"
    assert " MB) for 'wine'. The next request wakes it." in notice.message
    assert idle.target.replicas == 1  # what control asked for stands: nothing to undo
    await machine.engine.apply(idle.target)
    assert not (await machine.until(lambda o: bool(o.notices), "idle")).replicas  # control alone does not wake it
    await machine.engine.apply(replace(seen.target, replicas=0))
    gateway.ask("wake", revision="idle")
    await machine.until(lambda o: o.ready_replicas == 1, "idle")
    await gateway.close()


async def wait_for(revision: str, gateway: Watch) -> None:
    """As a gateway does while a request waits."""
    while True:
        gateway.ask("wake", revision=revision)
        await asyncio.sleep(0.5)


async def test_a_model_that_is_too_large_to_load_fails_with_a_sentence(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="eat:200 slow:30", memory_bytes=100 * MB))
    seen = await machine.until(lambda o: o.failed_starts >= 1)
    assert seen.message.startswith("Loading the model took 2")
    assert seen.message.endswith(" MB, over its limit of 100 MB. Give it a larger workload_type.")


async def test_a_model_that_leaks_is_replaced_and_no_request_fails(machine: Machine) -> None:
    """Through a real gateway: a real worker goes over its limit while requests come."""
    revision = RevisionId("0123456789abcdef")
    model = probe_model(machine.root / "leaking")
    environment = Environment(EnvironmentDigest("e2"), sys.executable, str(OVERLAY))
    limit = 350 * MB
    await machine.start_agent()
    await machine.engine.apply(
        machine.target(revision, model_dir=str(model), environment=environment, proved=True, memory_bytes=limit)
    )
    before = await machine.until(lambda o: any(r.memory_bytes for r in o.replicas), revision, within=60)
    assert before.replicas[0].memory_bytes < limit
    with listener() as listening:
        gateway = GatewayProcess(machine.data, revision, listening)
        gateway.start()
        statuses: list[int] = []
        load = asyncio.create_task(leak(gateway.url, statuses))
        try:
            after = await machine.until(
                lambda o: o.ready_replicas == len(o.replicas) == 1 and o.replicas[0].id != before.replicas[0].id,
                revision,
                within=90,
            )
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
            gateway.stop()
    assert {*statuses} == {200}
    assert len(statuses) > 50
    notice = after.notices[0]
    assert notice.kind == "memory_limit"
    assert notice.message.startswith(f"Replica {before.replicas[0].id} used ")
    assert notice.message.endswith(" MB, over its limit of 350 MB; a new one takes its place.")
    assert (after.failed_starts, after.message) == (0, "")


async def leak(url: str, statuses: list[int]) -> None:
    """Some 20 requests a second, each of which keeps 2 MB."""
    body = {"dataframe_records": [{"command": "keep:2"}]}
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
        while True:
            statuses.append((await client.post(url, json=body)).status_code)
            await asyncio.sleep(0.05)
