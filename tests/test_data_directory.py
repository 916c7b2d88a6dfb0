"""Where things lie; and that a socket can be bound there however deep the directory is."""

import socket
import stat
from pathlib import Path

import pytest

from tidegate.data_directory import DataDirectory


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDirectory:
    """A data directory too deep for sockets, on a machine whose runtime directory is `tmp_path/r`."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "r"))
    (tmp_path / "r").mkdir()
    return DataDirectory(tmp_path / ("d" * 60) / ("e" * 60))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_create_makes_what_must_be_there_and_may_be_repeated(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    data.create()
    data.create()
    for folder in (data.envs, data.uv_cache, data.overlays, data.models, data.build_logs, data.targets, data.run):
        assert folder.is_dir()


def test_root_run_and_scratch_are_for_this_user_alone(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "data")
    data.create()
    assert (mode(data.root), mode(data.run), mode(data.scratch)) == (0o700, 0o700, 0o700)


def test_a_run_directory_that_was_open_is_closed(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    data.run.mkdir()
    data.run.chmod(0o755)
    data.create()
    assert mode(data.run) == 0o700


def test_sockets_lie_inside_the_root_where_they_fit() -> None:
    data = DataDirectory(Path("/data"))
    assert data.run == Path("/data/run")


def test_a_deep_root_keeps_its_sockets_elsewhere(deep: DataDirectory, tmp_path: Path) -> None:
    assert deep.run.parent == tmp_path / "r"
    deep.create()
    assert mode(deep.run) == 0o700
    assert deep.database.is_relative_to(deep.root)


def test_two_deep_roots_do_not_share(deep: DataDirectory) -> None:
    assert DataDirectory(deep.root / "other").run != deep.run
    assert DataDirectory(deep.root).run == deep.run


def test_without_a_runtime_directory_the_temporary_one_is_used(
    deep: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert deep.run.parent != deep.root
    assert deep.run.name.startswith("tidegate-")


@pytest.mark.parametrize("depth", [60, 85, 86, 87, 90, 100])
def test_a_replicas_socket_can_be_bound_at_any_depth(depth: int) -> None:
    run = DataDirectory(Path("/" + "x" * (depth - 1))).run
    longest = run / "12345678-01.sock"
    assert len(str(longest)) <= 107


def test_a_socket_is_bound_in_a_deep_data_directory(deep: DataDirectory) -> None:
    if len(str(deep.run / "12345678-01.sock")) > 107:
        pytest.skip("pytest's own temporary directory is too deep here")
    deep.create()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(deep.run / "12345678.sock"))


def test_logs_are_named_by_revision(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    assert data.build_log("abc") == tmp_path / "logs" / "builds" / "abc.log"
    assert data.replica_log("abc") == tmp_path / "logs" / "replicas" / "abc.log"
    assert data.route_table(0) != data.route_table(1)


def test_a_models_sockets_fit_below_a_scratch_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    assert DataDirectory(Path("/data")).scratch == Path("/data/scratch")
    longest = "torch-shm-dir-XXXXXX/manager.sock"
    roots = [DataDirectory(Path("/" + "d" * length)) for length in range(1, 120)]
    assert max(len(str(root.scratch / "0123abcd" / longest)) for root in roots) <= 107
    assert len({root.scratch for root in roots}) == len(roots)
