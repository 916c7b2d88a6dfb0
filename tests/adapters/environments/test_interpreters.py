"""Which Python a model gets."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.adapters.package_index import Lines
from tidegate.adapters.environments import interpreters as module
from tidegate.adapters.environments.interpreters import Interpreter, Interpreters, choose, prefer_recorded
from tidegate.adapters.environments.uv import Uv, variables_for_uv
from tidegate.core.errors import BuildFailed

HERE = ".".join(map(str, sys.version_info[:3]))
FOUND = [Interpreter(f"/{v}", v, "linux") for v in ("3.7.16", "3.8.18", "3.10.2", "3.10.13", "3.11.7", "3.13.0rc1")]


@pytest.mark.parametrize(
    ("wanted", "version"),
    [
        ("3.10.2", "3.10.2"),
        ("==3.10.2", "3.10.2"),
        ("3.10.99", "3.10.13"),
        ("3.10", "3.10.13"),
        ("==3.10.*", "3.10.13"),
        ("3.9.1", None),
        (">=3.8,<3.11", "3.10.13"),
        ("<=3.8", None),
        (">=3.12", "3.13.0rc1"),
        ("3.13", "3.13.0rc1"),
        ("3", "3.13.0rc1"),
    ],
)
def test_that_version_else_the_newest_patch(wanted: str, version: str | None) -> None:
    chosen = choose(wanted, FOUND)
    assert (chosen and chosen.version) == version


@pytest.mark.parametrize(
    ("wanted", "recorded", "version"),
    [
        (">=3.10", "3.11.7", "3.11.7"),
        (">=3.10", "3.10.2", "3.10.2"),
        (">=3.10", "3.10.99", "3.10.13"),
        (">=3.10.5", "3.10.2", "3.10.13"),  # what is asked counts, its minor version all the same
        (">=3.11", "3.10.13", "3.13.0rc1"),
        (">=3.10", "3.12.1", "3.13.0rc1"),
        ("==3.10.*", "3.10.2", "3.10.2"),
        ("3.10", "3.10.2", "3.10.2"),
        ("==3.*", "3.8.18", "3.8.18"),
        ("3", "3.8.18", "3.8.18"),
        ("3.10.13", "3.10.2", "3.10.13"),
        (">=3.10", "", "3.13.0rc1"),
        (">=3.10", "unknown", "3.13.0rc1"),
    ],
)
def test_the_recorded_python_comes_before_newer_ones_that_will_do(wanted: str, recorded: str, version: str) -> None:
    chosen = choose(wanted, FOUND, recorded)
    assert (chosen and chosen.version) == version


@pytest.mark.parametrize(
    ("wanted", "recorded", "first"),
    [
        (">=3.11", "3.11.7", "3.11.7"),
        ("==3.11.*", "3.11.7", "3.11.7"),
        ("3.11", "3.11.7", "3.11.7"),
        ("==3.*", "3.11.7", "3.11.7"),
        (">=3.12", "3.11.7", ">=3.12"),
        ("3.11.2", "3.11.7", "3.11.2"),
        (">=3.11", "", ">=3.11"),
        (">=3.11", "3.11.x", ">=3.11"),
    ],
)
def test_what_is_looked_for_first(wanted: str, recorded: str, first: str) -> None:
    assert prefer_recorded(wanted, recorded) == first


@pytest.mark.parametrize(
    ("wanted", "complaint"), [("3.7.16", "run on Python 3.8 and newer"), ("snake", "is not a version")]
)
def test_a_version_that_cannot_be_is_refused(wanted: str, complaint: str) -> None:
    with pytest.raises(BuildFailed, match=complaint):
        choose(wanted, FOUND)


def interpreters(tmp_path: Path, *search: str, **environ: str) -> Interpreters:
    variables = {"HOME": str(tmp_path), "PATH": "", **environ}
    return Interpreters(Uv(variables_for_uv(variables, tmp_path / "cache")), tmp_path / "pythons", search, variables)


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


async def test_our_own_python_is_always_found(tmp_path: Path) -> None:
    (only,) = await interpreters(tmp_path).found()
    assert only.version == HERE
    assert only.minor == ".".join(HERE.split(".")[:2])
    assert Path(only.path).samefile(sys.executable)


@pytest.mark.parametrize(
    "place", [".pyenv/versions/x/bin", ".local/share/uv/python/x/bin", "pythons/x/bin", "opt/bin", "opt"]
)
async def test_it_is_looked_for_in_all_places(tmp_path: Path, place: str) -> None:
    other = _other()
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "python3").symlink_to(other.path)
    found = await interpreters(tmp_path, str(tmp_path / "opt")).found()
    assert other in found


async def test_pyenv_is_found_where_its_variable_says(tmp_path: Path) -> None:
    other = _other()
    (tmp_path / "elsewhere/versions/x/bin").mkdir(parents=True)
    (tmp_path / "elsewhere/versions/x/bin/python3").symlink_to(other.path)
    assert other in await interpreters(tmp_path, PYENV_ROOT=str(tmp_path / "elsewhere")).found()


async def test_shims_and_what_does_not_run_are_passed_over(tmp_path: Path) -> None:
    script(tmp_path / "shims/python3.10", f"touch {tmp_path}/called; exit 127")
    (tmp_path / "shims/python3.9").symlink_to("/bin/false")
    (tmp_path / "shims/python3.8").symlink_to("/nowhere")
    found = await interpreters(tmp_path, PATH=str(tmp_path / "shims")).found()
    assert [each.version for each in found] == [HERE]
    assert not (tmp_path / "called").exists()


async def test_an_interpreter_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finder, asked = interpreters(tmp_path), []

    async def ask(path: str) -> Interpreter:
        asked.append(path)
        return Interpreter(path, HERE, "linux")

    monkeypatch.setattr(module, "_ask", ask)
    assert await finder.found() == await finder.found()
    assert len(asked) == 1


async def test_the_log_says_what_was_asked_and_what_is_taken(tmp_path: Path) -> None:
    minor = HERE.rpartition(".")[0]
    lines = Lines()
    finder = interpreters(tmp_path)
    await finder.obtain(f"{minor}.99", lines.log, may_fetch=False)
    await finder.obtain("", lines.log, may_fetch=False)
    assert f"Python {HERE} (the model asks for {minor}.99)" in lines[0]
    assert "asks" not in lines[1]


async def test_a_missing_python_names_the_version_and_those_found(tmp_path: Path) -> None:
    with pytest.raises(
        BuildFailed, match=rf"Python 3\.99\.1\. Found on this machine: {HERE}; .*allow_python_downloads"
    ):
        await interpreters(tmp_path).obtain("3.99.1", Lines().log, may_fetch=False)


async def test_a_long_wish_for_a_python_is_not_compared(tmp_path: Path) -> None:
    finder = interpreters(tmp_path)
    for wanted in (">=3.8" + "".join(f",!=9.{n}" for n in range(50)), "3." + "9" * 5000, "3.1." + "9" * 5000):
        with pytest.raises(BuildFailed, match="longer than 100 characters"):
            await finder.obtain(wanted, Lines().log, may_fetch=False)
    obtained = await finder.obtain(">=3.8", Lines().log, may_fetch=False, recorded="3.1." + "9" * 5000)
    assert obtained.version == HERE


async def test_a_recorded_python_that_cannot_be_had_gives_way_to_one_that_will_do(tmp_path: Path) -> None:
    lines = Lines()
    obtained = await interpreters(tmp_path).obtain(">=3.8", lines.log, may_fetch=False, recorded="3.99.1")
    assert obtained.version == HERE
    assert "asks for Python 3.99.1" in lines[0]
    assert f"allow >=3.8, so Python {HERE} is taken" in lines[0]


async def test_fetching_without_a_network_fails_soon_and_clearly(tmp_path: Path) -> None:
    lines = Lines()
    finder = interpreters(tmp_path, UV_PYTHON_INSTALL_MIRROR="http://127.0.0.1:9/mirror")
    started = time.monotonic()
    with pytest.raises(BuildFailed, match=rf"Python 3\.14\.0\. Found.*{HERE}; fetching it failed: 127.0.0.1:9 cannot"):
        await finder.obtain("3.14.0", lines.log, may_fetch=True)
    assert time.monotonic() - started < 20
    assert "fetching it" in lines[0]


async def test_a_version_that_nobody_offers_fails_clearly(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"Python 3\.99\.1\..*fetching it failed"):
        await interpreters(tmp_path).obtain("3.99.1", Lines().log, may_fetch=True)


def _other() -> Interpreter:
    """Another Python of pyenv on this machine, as it describes itself; the test is skipped where there is none."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    own = ".".join(HERE.split(".")[:2])
    for path in sorted(versions.glob("3.*/bin/python3")):
        if not path.parent.parent.name.startswith(own):
            answer = json.loads(
                subprocess.run([path, "-I", "-c", module._QUESTION], capture_output=True, check=True).stdout
            )
            return Interpreter(str(path.resolve()), answer["version"], answer["platform"])
    pytest.skip("no other Python of pyenv on this machine")
