"""Running uv: what it sees, what of it is heard, and that it ends."""

import asyncio
import os
import stat
from pathlib import Path

import psutil
import pytest

from tests.adapters.package_index import Lines
from tidegate.adapters.environments import uv as module
from tidegate.adapters.environments.uv import Uv, UvFailed, cache_for, variables_for_uv


def stand_in(tmp_path: Path, text: str) -> Uv:
    """An Uv whose binary is a shell script, for what the real one cannot be made to do."""
    binary = tmp_path / "uv"
    binary.write_text(f"#!/bin/sh\n{text}\n")
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    uv = Uv({"PATH": os.environ["PATH"]})
    uv._binary = str(binary)
    return uv


def test_secrets_stay_here_and_what_builds_need_goes_on(tmp_path: Path) -> None:
    needed = {"PATH": "/bin", "HTTPS_PROXY": "p", "SSL_CERT_FILE": "c", "UV_INDEX_MINE_PASSWORD": "x", "LC_ALL": "C"}
    secret = {"TIDEGATE_TOKEN": "1", "DATABRICKS_TOKEN": "2", "MLFLOW_TRACKING_TOKEN": "3", "AWS_SECRET_KEY": "4"}
    harmful = {"VIRTUAL_ENV": "v", "CONDA_PREFIX": "c", "PYTHONDONTWRITEBYTECODE": "1", "UV_CACHE_DIR": "elsewhere"}
    variables = variables_for_uv({**needed, **secret, **harmful}, tmp_path)
    assert variables == {**needed, "UV_CACHE_DIR": str(tmp_path)}


@pytest.mark.parametrize(
    ("environ", "setting", "index"),
    [
        ({"PIP_INDEX_URL": "pip"}, "", "pip"),
        ({"PIP_INDEX_URL": "pip", "UV_DEFAULT_INDEX": "uv"}, "", "uv"),
        ({"PIP_INDEX_URL": "pip", "UV_INDEX_URL": "old"}, "", None),
        ({"PIP_INDEX_URL": "pip", "UV_INDEX_URL": "old"}, "ours", "ours"),
    ],
)
def test_which_default_index_counts(tmp_path: Path, environ: dict[str, str], setting: str, index: str | None) -> None:
    variables = variables_for_uv(environ, tmp_path, setting)
    assert variables.get("UV_DEFAULT_INDEX") == index
    assert ("UV_INDEX_URL" in variables) == (index is None)


async def test_lines_are_heard_while_it_runs(tmp_path: Path) -> None:
    wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done"
    uv = stand_in(tmp_path, f"printf 'one\\n\\ntw' >&2; {wait}; printf 'o\\nthree' >&2")
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        (tmp_path / "go").touch()

    await uv.run([], log)
    assert lines == ["one", "two", "three"]


async def test_silence_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SIGN_OF_LIFE_SECONDS", 0.02)
    lines = Lines()
    await stand_in(tmp_path, "sleep 0.2").run([], lines.log)
    assert "still at work" in lines.text


async def test_a_failure_carries_its_lines(tmp_path: Path) -> None:
    with pytest.raises(UvFailed) as failure:
        await stand_in(tmp_path, "echo wrong >&2; exit 2").run([], Lines().log)
    assert failure.value.lines == ("wrong",)


async def test_cancelling_ends_it_and_its_children(tmp_path: Path) -> None:
    uv = stand_in(tmp_path, "sleep 60 & echo $$ $! >&2; wait")
    processes: list[psutil.Process] = []
    begun = asyncio.Event()

    def log(line: str) -> None:
        processes.extend(psutil.Process(int(pid)) for pid in line.split())
        begun.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(uv.run([], log))
        await begun.wait()
        task.cancel()
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=5)
    assert len(processes) == 2
    assert not alive


async def test_a_network_failure_is_tried_again_with_the_cache(tmp_path: Path) -> None:
    text = 'case "$*" in *--offline*) echo cached >&2;; *) echo "cause: dns error" >&2; exit 2;; esac'
    lines = Lines()
    await stand_in(tmp_path, text).run_or_offline(["x"], lines.log)
    assert lines[-1] == "cached"


async def test_another_failure_is_not(tmp_path: Path) -> None:
    with pytest.raises(UvFailed, match="no solution"):
        await stand_in(tmp_path, "echo $* no solution >&2; exit 2").run_or_offline(["x"], Lines().log)


async def test_the_cache_comes_first_and_its_complaint_is_not_heard(tmp_path: Path) -> None:
    fail = "printf 'error: not cached\\n  cause: x\\n' >&2; exit 2"
    text = f'case "$*" in *--offline*) {fail};; *) echo fetched >&2;; esac'
    lines = Lines()
    await stand_in(tmp_path, text).run_from_cache(["x"], lines.log)
    assert list(lines) == ["Fetching what is not in the cache", "fetched"]


def test_the_users_cache_serves_where_files_can_be_linked(tmp_path: Path) -> None:
    own, home = tmp_path / "envs" / ".uv-cache", tmp_path / "home"
    own.parent.mkdir()
    assert cache_for(own, {}) == own
    assert cache_for(own, {"HOME": str(home)}) == own  # nothing is there
    (home / ".cache" / "uv").mkdir(parents=True)
    assert cache_for(own, {"HOME": str(home)}) == home / ".cache" / "uv"
    assert cache_for(own, {"HOME": str(home), "XDG_CACHE_HOME": str(home)}) == own
    assert cache_for(own, {"UV_CACHE_DIR": "/dev/shm"}) == own  # another file system
