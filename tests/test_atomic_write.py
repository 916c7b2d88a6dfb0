"""A file is written whole or not at all, wherever its writer is interrupted."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.test_source import SOURCES, calls, name_of, tree
from tidegate import atomic_write
from tidegate.atomic_write import draft_of, write_atomically

# Its own kill arrives instead of the system call that the argument names.
KILLED = """
import os, signal, sys
from pathlib import Path
from tidegate.atomic_write import write_atomically
owner = Path if sys.argv[2] == "replace" else os
setattr(owner, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
write_atomically(Path(sys.argv[1]), "new", durable=True)
"""
WRITES = (".write_text", ".write_bytes")


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("content", [b"a\xff", "wörd"])
def test_the_content_stands_there_and_nothing_else(tmp_path: Path, durable: bool, content: bytes | str) -> None:
    file = tmp_path / "a.json"
    for _ in range(2):
        write_atomically(file, content, durable=durable)
        assert file.read_bytes() == (content.encode() if isinstance(content, str) else content)
        assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_the_mode_holds_from_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    replace = Path.replace

    def look(draft: Path, path: Path) -> Path:
        seen.append((mode(draft), draft.is_symlink()))
        return replace(draft, path)

    file, foreign = tmp_path / "a", tmp_path / "foreign"
    foreign.write_text("foreign")
    draft_of(file).symlink_to(foreign)
    file.write_text("old")
    file.chmod(0o644)
    monkeypatch.setattr(Path, "replace", look)
    before = os.umask(0)
    try:
        write_atomically(file, "secret")
        draft_of(file).touch(0o666)
        write_atomically(file, "secret", mode=0o640)
    finally:
        os.umask(before)
    assert seen == [(0o600, False), (0o640, False)]
    assert mode(file) == 0o640
    assert foreign.read_text() == "foreign"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_error_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    file = tmp_path / "a"
    write_atomically(file, "old")
    monkeypatch.setattr(Path if step == "replace" else os, step, fail)
    with pytest.raises(type(error)):
        write_atomically(file, "new", durable=True)
    monkeypatch.undo()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_kill_leaves_the_old_file_and_a_draft_that_is_no_trouble(tmp_path: Path, step: str) -> None:
    file = tmp_path / "a"
    write_atomically(file, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, file, step], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert file.read_text() == "old"
    assert draft_of(file).exists()
    write_atomically(file, "newer")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "newer")]


def test_a_durable_file_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        steps.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def rename(draft: Path, path: Path) -> Path:
        steps.append("rename")
        return replace(draft, path)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    write_atomically(tmp_path / "a", "x")
    assert steps == ["rename"]
    steps.clear()
    write_atomically(tmp_path / "a", "x", durable=True)
    assert steps == [str(draft_of(tmp_path / "a")), "rename", str(tmp_path)]


def test_no_other_file_writes_its_own_drafts() -> None:
    """A rename beside a write is an atomic write; these rename for another reason."""
    reasons = {
        "tidegate/adapters/environments/worker_source.py": "a folder takes another's place",
        "tidegate/adapters/mlflow/registry.py": "a folder appears whole",
        "tidegate/adapters/series/series_tables.py": "a damaged database is set aside",
        "tidegate/control/housekeeping.py": "a folder is out of use before it is removed",
        "tidegate/adapters/mlflow/embedded_registry.py": "SQLite writes the copy of a database",
        "tidegate/engines/linux/replica_logs.py": "logs are rotated",
        "tidegate/engines/replicas/applied_targets.py": "a corrupt file is set aside",
        "tidegate/gateway/metering/ledger.py": "an unreadable file is set aside",
        "tidegate_worker/fork/import_record.py": "the worker may not import this package",
    }
    renames = {
        name_of(file)
        for file in SOURCES
        if any(call == "os.replace" or call == "os.rename" for call in calls(file)) or _renames_a_path(file)
    }
    assert renames == {*reasons, name_of(Path(atomic_write.__file__))}


def test_no_file_is_written_in_place() -> None:
    """Whoever reads a file that is written in place may find a part of it; nobody reads these before they are whole."""
    in_place = {name_of(file) for file in SOURCES if any(call.endswith(WRITES) for call in calls(file))}
    assert in_place == {
        "tidegate/adapters/environments/overlays.py",  # in a folder that is marked when it is whole
        "tidegate/adapters/environments/package_locks.py",  # for a child process, which starts later
        "tidegate/adapters/environments/uv_environments.py",  # in a folder that is marked when it is whole
    }


def _renames_a_path(file: Path) -> bool:
    """Whether `.replace` or `.rename` is called with one argument, as a path's is; a string's has two."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("replace", "rename")
        and len(node.args) == 1
        and not node.keywords
        and ast.unparse(node.func.value) not in ("dataclasses", "msgspec.structs")
        for node in ast.walk(tree(file))
    )
