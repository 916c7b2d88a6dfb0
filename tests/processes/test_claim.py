"""The claim on a data directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.core.errors import ConfigurationError
from tidegate.data_directory import DataDirectory
from tidegate.processes.claim import claim

HOLD = """
import sys
from pathlib import Path
from tidegate.data_directory import DataDirectory
from tidegate.processes.claim import claim
with claim(DataDirectory(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_platform_is_told_who_has_the_directory(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(ConfigurationError, match=rf"in use by another Tidegate \(process {holder.pid}\)"),
            claim(data),
        ):
            pass
        holder.kill()
    with claim(data):  # a lock does not outlive its holder, however it ended
        assert int(data.lock.read_text()) == os.getpid()


def test_it_makes_the_directories(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "new" / "data")
    with claim(data):
        assert data.run.stat().st_mode & 0o777 == 0o700
        assert data.exits.is_dir()


@pytest.mark.parametrize("root", ["file", "file/below"])
def test_an_impossible_directory_is_a_sentence(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigurationError, match=r"cannot be used: .*--data-dir"),
        claim(DataDirectory(tmp_path / root)),
    ):
        pass


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="needs /dev/full")
def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    data.lock.symlink_to("/dev/full")
    with pytest.raises(ConfigurationError, match="cannot be used"), claim(data):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_is_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match="Permission denied"), claim(DataDirectory(tmp_path / "data")):
        pass
