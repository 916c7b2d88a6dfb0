"""What is a replica's own, and ends with it: its scratch directory, and the processes that its model has started."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.machine import Machine, eventually, running
from tests.engines.stub_worker import DAEMON
from tidegate.core.endpoint.revision import ReplicaId
from tidegate.core.errors import Unavailable
from tidegate.engines.linux import offspring
from tidegate.engines.linux.scratch import Scratch

ONE, OTHER = ReplicaId("0123abcd"), ReplicaId("0123abce")


def daemon(machine: Machine, number: int = 0) -> int:
    return int(machine.log().split("daemon ")[number + 1].split()[0])


def littered(machine: Machine) -> list[str]:
    return sorted(str(file.relative_to(machine.data.scratch)) for file in machine.data.scratch.glob("*/litter"))


async def test_each_replica_has_one_and_none_is_left(machine: Machine) -> None:
    await machine.start_agent(concurrent_starts=2)
    await machine.engine.apply(machine.target(stub="litter", replicas=2))
    await machine.until_ready(2)
    seen = await machine.observe()
    assert seen is not None
    assert littered(machine) == sorted(f"{replica.id}/litter" for replica in seen.replicas)
    assert {path.stat().st_mode & 0o777 for path in machine.data.scratch.iterdir()} == {0o700}
    await machine.engine.apply(machine.target(stub="litter", replicas=1))
    await machine.until_ready(1)
    await eventually(lambda: len(littered(machine)) == 1)
    await machine.engine.remove(machine.target().revision)
    await machine.until_gone()
    await eventually(lambda: not list(machine.data.scratch.iterdir()))


@pytest.mark.parametrize("end", ["killed", "drained", "failed"])
async def test_whatever_a_model_has_started_ends_with_its_replica(machine: Machine, end: str) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="litter child daemon " + ("exit:3" if end == "failed" else "")))
    if end != "failed":
        [pid] = await machine.until_ready()
        [first] = littered(machine)
        await eventually(lambda: "daemon " in machine.log())
        assert running(daemon(machine))
        if end == "killed":
            os.kill(pid, signal.SIGKILL)
        else:
            await machine.engine.remove(machine.target().revision)
        await eventually(lambda: first not in littered(machine))
    await eventually(lambda: "daemon " in machine.log() and not running(daemon(machine)))
    await machine.engine.remove(machine.target().revision)
    await eventually(lambda: not littered(machine))


async def test_the_next_agent_clears_what_an_earlier_one_left(machine: Machine) -> None:
    await machine.start_agent()
    await machine.engine.apply(machine.target(stub="litter daemon"))
    [pid] = await machine.until_ready()
    await eventually(lambda: "daemon " in machine.log())
    left, stray = littered(machine)[0], daemon(machine)
    machine.kill_agent()
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not running(pid))
    assert running(stray)
    (machine.data.scratch / "a name of another").mkdir()
    await machine.start_agent()
    await eventually(lambda: not running(stray))
    await eventually(lambda: left not in littered(machine))
    [new] = await machine.until_ready()
    await eventually(lambda: machine.log().count("daemon ") == 2)
    assert running(daemon(machine, 1))
    machine.kill_agent()
    await machine.start_agent()  # what it adopts keeps its own
    await machine.until_ready()
    assert running(new)
    assert running(daemon(machine, 1))
    assert len(littered(machine)) == 1
    assert (machine.data.scratch / "a name of another").exists()


async def test_what_the_platform_ignores_is_not_ignored_by_replicas(machine: Machine) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup tidegate up` has it
    try:
        await machine.start_agent()
    finally:
        signal.signal(signal.SIGHUP, before)
    await machine.engine.apply(machine.target())
    [pid] = await machine.until_ready()
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = int(status.split("SigIgn:")[1].split()[0], 16)
    assert not ignored & 1 << signal.SIGHUP - 1


async def test_where_none_can_be_made_a_start_fails_with_a_sentence(machine: Machine) -> None:
    machine.data.scratch.rmdir()
    machine.data.scratch.write_text("in the way")
    await machine.start_agent(max_backoff_seconds=0.1)
    await machine.engine.apply(machine.target())
    seen = await machine.until(lambda o: o.failed_starts > 0)
    assert seen.message == (
        f"A scratch directory cannot be made below {machine.data.scratch}: File exists. "
        "Free some space, or see to the disk."
    )
    machine.data.scratch.unlink()
    await machine.until_ready()


def test_one_is_removed_whatever_is_in_it_and_nothing_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (tmp_path / "file").write_text("x")
    scratch = Scratch(tmp_path / "scratch")
    with scratch.made(ONE) as path:
        (path / "closed" / "inner").mkdir(parents=True)
        (path / "closed" / "inner" / "file").touch()
        (path / "elsewhere").symlink_to(outside)
        os.mkfifo(path / "closed" / "pipe")
        (path / "closed" / "inner").chmod(0)
        (path / "closed").chmod(0o500)
    assert scratch.names() == [ONE]
    scratch.remove(ONE)
    scratch.remove(ONE)
    assert scratch.names() == []
    assert outside.stat().st_mode & 0o777 == 0o500


def test_of_one_that_was_made_a_link_only_the_link_goes(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    scratch = Scratch(tmp_path / "scratch")
    for target in (outside, tmp_path / "nowhere"):
        with scratch.made(ONE) as path:
            path.rmdir()
            path.symlink_to(target)
        assert scratch.names() == [ONE]
        scratch.remove(ONE)
        assert scratch.names() == []
    assert outside.stat().st_mode & 0o777 == 0o500


def test_one_that_was_made_in_vain_goes_at_once(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch")
    with pytest.raises(KeyError), scratch.made(ONE):
        raise KeyError
    assert scratch.names() == []
    with scratch.made(ONE), pytest.raises(Unavailable), scratch.made(ONE):
        pass  # never one for two


# --- processes


@pytest.fixture
def marked() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for a line before it starts a daemon, and ends; orphans become this process's children."""
    waiting = subprocess.Popen(
        [sys.executable, "-c", f"input()\n{DAEMON}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    yield waiting
    waiting.kill()
    waiting.communicate()


def test_the_mark_is_inherited_and_ends_its_own_only(marked: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(["sleep", "60"]) as other, subprocess.Popen(["sleep", "60"]) as unmarked:
        offspring.mark(marked.pid, ONE)
        offspring.mark(other.pid, OTHER)
        assert marked.stdin is not None
        assert marked.stdout is not None
        marked.stdin.write(b"\n")
        marked.stdin.flush()
        pid = int(marked.stdout.readline().split()[1])
        assert running(pid)
        offspring.end([ONE])
        assert not running(pid)
        assert other.poll() is None
        assert unmarked.poll() is None
        other.kill()
        unmarked.kill()


def test_one_that_has_ended_and_a_limit_that_is_set_already_are_nothing(marked: subprocess.Popen[bytes]) -> None:
    offspring.mark(marked.pid, ONE)
    offspring.mark(marked.pid, OTHER)  # by root only; a user gets a warning in the log
    assert resource.prlimit(marked.pid, resource.RLIMIT_RTTIME)[0] > 1 << 61
    marked.kill()
    offspring.end([ONE, OTHER])  # not held up by a zombie
    marked.communicate()
    offspring.mark(marked.pid, ONE)
