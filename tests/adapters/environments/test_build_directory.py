"""A directory is whole or not there, whoever builds it and however that ends."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.adapters.package_index import Lines
from tidegate.adapters.environments.build_directory import BuildDirectory, locked
from tidegate.adapters.environments.marker import MARKER


async def test_it_is_built_once_and_found_again(tmp_path: Path) -> None:
    directory, built = BuildDirectory(tmp_path / "d"), 0

    async def fill(_: int) -> str:
        nonlocal built
        built += 1
        directory.path.mkdir()
        await asyncio.sleep(0.01)
        return "what it is"

    made = await asyncio.gather(*(directory.make(fill, Lines().log) for _ in range(5)))
    assert sorted(made) == [False] * 4 + [True]
    assert built == 1
    assert (directory.path / MARKER).read_text() == "what it is"


async def test_what_waits_says_so(tmp_path: Path) -> None:
    lines, told = Lines(), asyncio.Event()

    def log(line: str) -> None:
        lines.append(line)
        told.set()

    async def fill(_: int) -> str:
        raise AssertionError

    async with locked(tmp_path / "d", Lines().log), asyncio.TaskGroup() as group:
        task = group.create_task(BuildDirectory(tmp_path / "d").make(fill, log))
        await told.wait()
        task.cancel()
    assert "waiting for it" in lines.text
    assert not (tmp_path / "d").exists()


async def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    async def fill(_: int) -> str:
        (tmp_path / "d").mkdir()
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        await BuildDirectory(tmp_path / "d").make(fill, Lines().log)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("leftover", ["half", "broken"])
async def test_what_is_not_whole_is_built_anew(tmp_path: Path, leftover: str) -> None:
    directory = BuildDirectory(tmp_path / "d", "bin/python")
    directory.path.mkdir()
    (directory.path / leftover).touch()
    if leftover == "broken":  # its interpreter was uninstalled
        (directory.path / MARKER).touch()
        (directory.path / "bin").mkdir()
        (directory.path / "bin" / "python").symlink_to("/nowhere/python")

    async def fill(_: int) -> str:
        (directory.path / "bin").mkdir(parents=True)
        (directory.path / "bin" / "python").touch()
        return ""

    assert await directory.make(fill, Lines().log)
    assert not (directory.path / leftover).exists()


async def test_finding_it_counts_as_use(tmp_path: Path) -> None:
    directory = BuildDirectory(tmp_path / "d")
    directory.path.mkdir()
    (directory.path / MARKER).touch()
    os.utime(directory.path, (1000, 1000))

    async def fill(_: int) -> str:
        raise AssertionError

    assert not await directory.make(fill, Lines().log)
    assert time.time() - directory.path.stat().st_mtime < 60


BUILDER = """
import asyncio, subprocess, sys
from pathlib import Path
from tidegate.adapters.environments.build_directory import locked

async def main():
    async with locked(Path(sys.argv[1]), print) as descriptor:
        child = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor], stdout=subprocess.DEVNULL)
        print(child.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_the_lock_outlives_a_killed_builder_until_its_last_child_has_ended(tmp_path: Path) -> None:
    builder = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, "-c", BUILDER, str(tmp_path / "d")], stdout=subprocess.PIPE
    )
    assert builder.stdout is not None
    child = int(await asyncio.to_thread(builder.stdout.readline))
    builder.kill()
    await asyncio.to_thread(builder.wait)
    builder.stdout.close()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3), locked(tmp_path / "d", Lines().log):
            pass
    os.kill(child, signal.SIGKILL)
    async with asyncio.timeout(10), locked(tmp_path / "d", Lines().log):
        pass


async def test_a_failed_build_is_removed_in_a_thread_and_whole_though_cancelled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, begun, released, threads = shutil.rmtree, threading.Event(), threading.Event(), []

    def slowly(path: Path, ignore_errors: bool) -> None:
        threads.append(threading.get_ident())
        if len(threads) > 1:  # the first one is before the build
            begun.set()
            assert released.wait(10)
        remove(path, ignore_errors=ignore_errors)

    async def fill(_: int) -> str:
        (tmp_path / "d" / "lib").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "rmtree", slowly)
    building = asyncio.create_task(BuildDirectory(tmp_path / "d").make(fill, Lines().log))
    async with asyncio.timeout(10):
        while not begun.is_set():  # noqa: ASYNC110 - the thread tells no task
            await asyncio.sleep(0.002)
    for _ in range(2):
        building.cancel()
        await asyncio.sleep(0.01)
    assert not building.done()
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert not (tmp_path / "d").exists()
    assert threading.get_ident() not in threads
