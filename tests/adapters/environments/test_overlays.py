"""The worker's overlay."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters.package_index import Lines, PackageIndex
from tidegate.adapters.environments import overlays as module
from tidegate.adapters.environments import worker_source
from tidegate.adapters.environments.interpreters import Interpreter, Interpreters
from tidegate.adapters.environments.overlays import Overlays
from tidegate.adapters.environments.uv import Uv, variables_for_uv

NOWHERE = "http://127.0.0.1:9/"


async def ours(tmp_path: Path) -> Interpreter:
    environ = {"HOME": str(tmp_path), "PATH": ""}
    finder = Interpreters(Uv(variables_for_uv(environ, tmp_path)), tmp_path / "pythons", (), environ)
    return next(each for each in await finder.found() if each.version == sys.version.split()[0])


def overlays(tmp_path: Path, index: str) -> Overlays:
    (tmp_path / "overlays").mkdir(exist_ok=True)
    environ = {"HOME": str(tmp_path), "UV_HTTP_RETRIES": "0"}
    return Overlays(Uv(variables_for_uv(environ, tmp_path / "cache", index)), tmp_path / "overlays")


async def imports(interpreter: Interpreter, overlay: Path, *names: str) -> str:
    code = f"import sys; sys.path.append(sys.argv[1]); import {', '.join(names)}; print('imported')"
    argv = [interpreter.path, "-I", "-S", "-c", code, str(overlay)]
    return (await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True)).stdout.strip()


@pytest.fixture
def accelerators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageIndex:
    """An index with one accelerator, and the lock that names it."""
    index = PackageIndex(tmp_path / "index")
    wheel = index.add("speedup", "1.0")
    digest = subprocess.run(["sha256sum", wheel], capture_output=True, text=True, check=True).stdout.split()[0]
    monkeypatch.setattr(module, "_lock_of", lambda _: f"speedup==1.0 --hash=sha256:{digest}\n")
    return index


async def test_it_holds_worker_and_accelerators_with_bytecode(tmp_path: Path, accelerators: PackageIndex) -> None:
    interpreter = await ours(tmp_path)
    with accelerators.serving():
        builder = overlays(tmp_path, accelerators.url)
        overlay = await builder.obtain(interpreter, Lines().log)
        asked = len(accelerators.requests)
        assert await builder.obtain(interpreter, Lines().log) == overlay
        assert len(accelerators.requests) == asked
    assert await imports(interpreter, overlay, "tidegate_worker.ipc.wire", "speedup") == "imported"
    assert list((overlay / "tidegate_worker" / "ipc" / "__pycache__").glob("wire.*.pyc"))


async def test_without_accelerators_it_still_works_until_they_can_be_had(
    tmp_path: Path, accelerators: PackageIndex
) -> None:
    interpreter, lines = await ours(tmp_path), Lines()
    bare = await overlays(tmp_path, NOWHERE).obtain(interpreter, lines.log)
    assert "runs without its accelerators" in lines.text
    assert await imports(interpreter, bare, "tidegate_worker.ipc.wire") == "imported"
    with accelerators.serving():
        full = await overlays(tmp_path, accelerators.url).obtain(interpreter, Lines().log)
    assert full != bare
    assert await imports(interpreter, full, "speedup") == "imported"


async def test_a_changed_worker_is_another_overlay(
    tmp_path: Path, accelerators: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "tidegate_worker"
    source.mkdir()
    monkeypatch.setattr(worker_source, "source", lambda: source)
    interpreter = await ours(tmp_path)
    made = set()
    with accelerators.serving():
        for text in ("", "VERSION = 2"):
            (source / "__init__.py").write_text(text)
            made.add(await overlays(tmp_path, accelerators.url).obtain(interpreter, Lines().log))
    assert len(made) == 2
    assert worker_source.renew(tmp_path / "overlays") == 1
    for overlay in made:
        assert (overlay / "tidegate_worker" / "__init__.py").read_text() == "VERSION = 2"
        assert await imports(interpreter, overlay, "tidegate_worker", "speedup") == "imported"


@pytest.mark.parametrize("minor", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
def test_every_python_of_the_worker_has_a_lock_with_hashes(minor: str) -> None:
    lock = module._lock_of(minor)
    for name in ("msgspec", "setproctitle"):
        assert f"\n{name}==" in lock
    assert lock.count("--hash=sha256:") > 50


@pytest.mark.parametrize("minor", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
async def test_the_locked_accelerators_work_under_every_python_of_this_machine(tmp_path: Path, minor: str) -> None:
    """With the real package index, through this user's own cache of uv, so a second run needs no network."""
    cache = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
    uv = Uv(variables_for_uv(os.environ, cache))
    found = await Interpreters(uv, tmp_path / "pythons", (), os.environ).found()
    interpreter = next((each for each in reversed(found) if each.minor == minor), None)
    if interpreter is None:
        pytest.skip(f"no Python {minor} on this machine")
    lines = Lines()
    (tmp_path / "overlays").mkdir()
    overlay = await Overlays(uv, tmp_path / "overlays").obtain(interpreter, lines.log)
    if "cannot be reached" in lines.text:
        pytest.skip("the package index cannot be reached and the accelerators are not in the cache")
    assert await imports(interpreter, overlay, "tidegate_worker.ipc.wire", "msgspec", "setproctitle") == "imported"


def test_another_python_has_none() -> None:
    assert module._lock_of("3.99") == ""
