"""An upgrade: overlays that are there get the worker of the version that runs now."""

import json
import logging
import shutil
from pathlib import Path

import pytest

from tidegate.adapters.environments import worker_source
from tidegate.adapters.environments.marker import MARKER
from tidegate.adapters.environments.worker_source import WORKER, digest, renew

REST = ["speedup==1.0", "3.11", "linux"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The worker as it comes with the version that runs now."""
    return version(tmp_path / "now", "2", monkeypatch)


def version(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = folder / WORKER
    (package / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").write_text(f"VERSION = {text}")
    (package / "__pycache__" / "x.pyc").touch()
    monkeypatch.setattr(worker_source, "source", lambda: package)
    return package


def overlay(tmp_path: Path, name: str = "one", text: str = "1", whole: bool = True) -> Path:
    path = tmp_path / "overlays" / name
    (path / WORKER / "__pycache__").mkdir(parents=True)
    (path / WORKER / "__init__.py").write_text(f"VERSION = {text}")
    (path / WORKER / "gone.py").touch()
    (path / "speedup.py").touch()
    if whole:
        (path / MARKER).write_text(json.dumps([digest(path / WORKER), *REST]))
    return path


def is_renewed(path: Path, package: Path) -> bool:
    held = sorted(file.name for file in path.iterdir())
    return (
        held == sorted([MARKER, WORKER, "speedup.py"])
        and [file.name for file in (path / WORKER).iterdir()] == ["__init__.py"]
        and digest(path / WORKER) == digest(package)
        and json.loads((path / MARKER).read_text()) == [digest(package), *REST]
    )


def test_one_with_another_worker_gets_the_present_one(tmp_path: Path, package: Path) -> None:
    old = [overlay(tmp_path, name) for name in ("one", "two")]
    assert renew(tmp_path / "overlays") == 2
    assert all(is_renewed(path, package) for path in old)
    assert renew(tmp_path / "overlays") == 0


def test_back_to_the_version_before_too(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = overlay(tmp_path)
    renew(tmp_path / "overlays")
    earlier = version(tmp_path / "earlier", "1", monkeypatch)
    assert renew(tmp_path / "overlays") == 1
    assert is_renewed(path, earlier)


def test_one_with_the_present_worker_is_left_alone_and_so_is_what_is_not_whole(tmp_path: Path, package: Path) -> None:
    same, half = overlay(tmp_path), overlay(tmp_path, "half", whole=False)
    trash = overlay(tmp_path, ".trash-two")
    shutil.rmtree(same / WORKER)
    shutil.copytree(package, same / WORKER)
    (same / MARKER).write_text(json.dumps([digest(package), *REST]))
    before = (same / WORKER).stat().st_ino
    assert renew(tmp_path / "overlays") == 0
    assert (same / WORKER).stat().st_ino == before
    assert (same / WORKER / "__pycache__" / "x.pyc").exists()
    assert (half / WORKER / "gone.py").exists()
    assert (trash / WORKER / "gone.py").exists()


@pytest.mark.parametrize("cut", ["copying", "between", "placed", "cleared"])
def test_what_was_cut_short_heals(cut: str, tmp_path: Path, package: Path) -> None:
    path = overlay(tmp_path)
    new, old = path / f"{WORKER}.new", path / f"{WORKER}.old"
    if cut == "copying":
        new.mkdir()
    else:
        (path / WORKER).rename(old)
        shutil.copytree(package, new if cut == "between" else path / WORKER)
        if cut == "cleared":
            shutil.rmtree(old)
    assert renew(tmp_path / "overlays") == 1
    assert is_renewed(path, package)


def test_one_that_cannot_be_renewed_is_told_and_keeps_what_it_has(
    tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, other = overlay(tmp_path), overlay(tmp_path, "torn")
    (other / MARKER).write_text("{")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(worker_source, "copy", full)
        assert renew(tmp_path / "overlays") == 0
    assert [record.getMessage() for record in caplog.records] == ["an overlay keeps the worker that it has"] * 2
    assert (path / WORKER / "gone.py").exists()
    assert renew(tmp_path / "overlays") == 1
    assert is_renewed(path, package)


def test_a_source_that_cannot_be_read_is_told(tmp_path: Path, package: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = overlay(tmp_path)
    (package / "folder.py").mkdir()
    assert renew(tmp_path / "overlays") == 0
    assert "overlays keep the workers that they have" in caplog.text
    assert (path / WORKER / "gone.py").exists()


def test_where_there_are_none_nothing_happens(tmp_path: Path) -> None:
    assert renew(tmp_path / "overlays") == 0
